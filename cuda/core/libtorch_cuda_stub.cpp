// Stands in for libtorch_cuda.so at link time, where the torch beside us is a CPU build: it gives our library its
// NEEDED entry, and is never installed.
#define PYSEG_STUB(name) \
  extern "C" __attribute__((visibility("default"))) void name() {}
PYSEG_STUB(aoti_torch_get_current_cuda_stream)
