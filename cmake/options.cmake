# Everything that can be chosen with -D. CMakePresets.json holds the combinations we use.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Debug or Release" FORCE)
endif()

option(BUILD_TESTING "Build the unit tests" ON)
option(HOLDFAST_WERROR "Warnings are errors. Our presets say ON; off by default so that a newer compiler blocks nobody" OFF)
option(HOLDFAST_JEMALLOC "Link the broker with jemalloc (never with sanitizers or valgrind)" OFF)
option(HOLDFAST_LTO "Link-time optimisation" OFF)
option(HOLDFAST_HARDENING "Stack protector, FORTIFY_SOURCE, PIE, RELRO" OFF)
option(HOLDFAST_COVERAGE "Instrument for gcov" OFF)
option(HOLDFAST_FUZZ "Build the libFuzzer targets (clang only)" OFF)
set(HOLDFAST_SANITIZE "" CACHE STRING "Value of -fsanitize=, for example address,undefined or thread")
set(HOLDFAST_WOLFSSL_PREFIX "" CACHE PATH
    "wolfSSL to use; empty: the one that script/bootstrap built, else the system's")

# Tests that show a test can fail build a broker that breaks a rule on purpose:
# -DHOLDFAST_SEEDED_BUG=x compiles with -DSEEDED_BUG_x=1. A list is allowed.
set(HOLDFAST_SEEDED_BUG "" CACHE STRING "Break a rule on purpose, for tests. Never in a release")

if(HOLDFAST_SANITIZE AND HOLDFAST_JEMALLOC)
  message(FATAL_ERROR "HOLDFAST_JEMALLOC hides the allocator from -fsanitize=${HOLDFAST_SANITIZE}")
endif()
if(HOLDFAST_FUZZ AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "libFuzzer needs clang, not ${CMAKE_C_COMPILER_ID}: use --preset fuzz")
endif()
