# CUDA: kernels, the torch library and the CuPy module. Included by pyseg_add_cuda() where nvcc is.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
enable_language(CUDA)
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_RUNTIME_LIBRARY Static)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
find_package(CUDAToolkit REQUIRED)

# --- kernels: C++ and CUDA only ------------------------------------------------------------------
pyseg_sources(PYSEG_CUDA_SOURCES cuda *.cu)
pyseg_sources(sources cuda *.cpp)
list(FILTER sources EXCLUDE REGEX "(/torch|/cupy|_stub)\\.cpp$")
add_library(pyseg_cuda_kernels STATIC ${PYSEG_CUDA_SOURCES} ${sources})
target_include_directories(pyseg_cuda_kernels PUBLIC ${PROJECT_SOURCE_DIR}/cuda)
# -fmad=false is nvcc's -ffp-contract=off: the labels are the CPU's.
target_compile_options(
  pyseg_cuda_kernels PRIVATE
    "$<$<COMPILE_LANGUAGE:CUDA>:-fmad=false;-Xcompiler=-Wall,-Wextra,-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>")
target_link_libraries(pyseg_cuda_kernels PUBLIC pyseg_kernels CUDA::cudart_static)

# The CUDA runtime is ours alone: exported, its functions would be bound to those of whoever was loaded before.
add_library(pyseg_cuda_private INTERFACE)
target_link_options(pyseg_cuda_private INTERFACE LINKER:--exclude-libs,ALL)
target_link_libraries(pyseg_cuda_private INTERFACE pyseg_cuda_kernels)

# --- torch ---------------------------------------------------------------------------------------
# Gives our library its NEEDED libtorch_cuda.so where the torch beside us is a CPU build.
add_library(torch_cuda_stub SHARED ${PROJECT_SOURCE_DIR}/cuda/core/libtorch_cuda_stub.cpp)
set_target_properties(torch_cuda_stub PROPERTIES OUTPUT_NAME torch_cuda)

pyseg_sources(sources cuda torch.cpp)
add_library(pyseg_torch_cuda MODULE ${sources})
target_compile_definitions(pyseg_torch_cuda PRIVATE USE_CUDA)
target_link_libraries(pyseg_torch_cuda PRIVATE pyseg_cuda_private torch_stable torch_cuda_stub)
set_target_properties(pyseg_torch_cuda PROPERTIES SKIP_BUILD_RPATH ON)
install(TARGETS pyseg_torch_cuda DESTINATION pyseg)

# --- CuPy: pyseg._native_cuda --------------------------------------------------------------------
pyseg_sources(sources cuda cupy.cpp)
pybind11_add_module(_native_cuda MODULE ${sources})
target_compile_definitions(_native_cuda PRIVATE PYSEG_VERSION="${PROJECT_VERSION}")
target_link_libraries(_native_cuda PRIVATE pyseg_cuda_private)
install(TARGETS _native_cuda DESTINATION pyseg)
