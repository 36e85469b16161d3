# The targets of the project; CMakeLists.txt lists the ops. -ffp-contract=off: with GCC's default, results differ between
# instruction sets. The file prefix keeps the build machine's paths out of error messages.
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-ffp-contract=off;-fno-math-errno;-fno-trapping-math>"
                    "$<$<COMPILE_LANGUAGE:CXX>:-ffile-prefix-map=${PROJECT_SOURCE_DIR}/=>")
option(PYSEG_WERROR "Treat warnings as errors" OFF)
if(PYSEG_WERROR)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-Werror>" "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings>")
endif()
set(PYSEG_SANITIZE "" CACHE STRING "Sanitizers to build with, as -fsanitize= takes them")
if(PYSEG_SANITIZE)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${PYSEG_SANITIZE};-fno-omit-frame-pointer;-g>")
  add_link_options("-fsanitize=${PYSEG_SANITIZE}")
endif()

find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 3.0 CONFIG REQUIRED)
find_package(Threads REQUIRED)

# Sources matching `pattern` in the folders of the ops (and core) under `root`, but for the bindings.
function(pyseg_sources out root pattern)
  set(found)
  foreach(folder core ${PYSEG_OPS})
    file(GLOB files CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${root}/${folder}/${pattern})
    list(APPEND found ${files})
  endforeach()
  set(${out} ${found} PARENT_SCOPE)
endfunction()

# --- kernels: C++ only, no torch, no Python ------------------------------------------------------
function(pyseg_add_isa name)
  add_library(pyseg_${name} OBJECT ${PYSEG_SIMD_SOURCES})
  target_include_directories(pyseg_${name} PRIVATE ${PROJECT_SOURCE_DIR}/cpp)
  target_compile_definitions(pyseg_${name} PRIVATE PYSEG_ISA=${name} ${PYSEG_DISPATCH_DEFINITION})
  # GCC 12 warns of its own AVX-512 intrinsics, and of passing vectors between functions that it inlines.
  target_compile_options(pyseg_${name} PRIVATE -O3 -Wno-maybe-uninitialized -Wno-uninitialized -Wno-psabi ${ARGN})
  target_sources(pyseg_kernels PRIVATE $<TARGET_OBJECTS:pyseg_${name}>)
endfunction()

macro(pyseg_add_kernels)
  pyseg_sources(PYSEG_SIMD_SOURCES cpp *.simd.cpp)
  pyseg_sources(sources cpp *.cpp)
  list(FILTER sources EXCLUDE REGEX "(\\.simd|/numpy|/torch)\\.cpp$")
  add_library(pyseg_kernels STATIC ${sources})
  target_include_directories(pyseg_kernels PUBLIC ${PROJECT_SOURCE_DIR}/cpp)
  target_link_libraries(pyseg_kernels PUBLIC Threads::Threads)
  set(PYSEG_DISPATCH_DEFINITION)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(PYSEG_DISPATCH_DEFINITION PYSEG_X86_DISPATCH)
    target_compile_definitions(pyseg_kernels PUBLIC PYSEG_X86_DISPATCH)
    pyseg_add_isa(avx2 -march=x86-64-v3)
    pyseg_add_isa(avx512 -march=x86-64-v4 -mprefer-vector-width=512)
  endif()
  pyseg_add_isa(baseline)
endmacro()

# --- NumPy: pyseg._native ------------------------------------------------------------------------
macro(pyseg_add_numpy)
  pyseg_sources(sources cpp numpy.cpp)
  pybind11_add_module(_native MODULE ${sources})
  target_link_libraries(_native PRIVATE pyseg_kernels)
  target_compile_definitions(_native PRIVATE PYSEG_VERSION="${PROJECT_VERSION}")
  install(TARGETS _native DESTINATION pyseg)
endmacro()

# --- torch: one library for every Python and every torch >= 2.10 ---------------------------------
macro(pyseg_add_torch)
  execute_process(
    COMMAND ${Python_EXECUTABLE} -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
    OUTPUT_VARIABLE PYSEG_TORCH_DIR OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  add_library(torch_stable INTERFACE)
  target_include_directories(torch_stable SYSTEM INTERFACE ${PYSEG_TORCH_DIR}/include)
  # The stable ABI as of torch 2.10; without it the library would not load on a torch older than the headers.
  target_compile_definitions(torch_stable INTERFACE TORCH_TARGET_VERSION=0x020a000000000000)
  target_link_libraries(torch_stable INTERFACE ${PYSEG_TORCH_DIR}/lib/libtorch_cpu.so)

  pyseg_sources(sources cpp torch.cpp)
  add_library(pyseg_torch MODULE ${sources})
  target_link_libraries(pyseg_torch PRIVATE pyseg_kernels torch_stable)
  set_target_properties(pyseg_torch PROPERTIES SKIP_BUILD_RPATH ON)
  install(TARGETS pyseg_torch DESTINATION pyseg)
endmacro()

# --- CUDA: built where nvcc is, loaded where torch has CUDA or CuPy is there ----------------------
# A STRING, not an option(): a compiler's path handed to an option() reads as OFF.
macro(pyseg_add_cuda)
  set(PYSEG_CUDA AUTO CACHE STRING "Build the CUDA kernels: ON, OFF or AUTO (where nvcc is found)")
  include(CheckLanguage)
  if(PYSEG_CUDA STREQUAL "AUTO")
    check_language(CUDA)
  endif()
  if(PYSEG_CUDA STREQUAL "ON" OR (PYSEG_CUDA STREQUAL "AUTO" AND CMAKE_CUDA_COMPILER))
    include(${PROJECT_SOURCE_DIR}/cmake/pyseg_cuda.cmake)
  endif()
endmacro()
