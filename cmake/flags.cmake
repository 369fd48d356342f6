# How everything is compiled. No variant defines NDEBUG: CHECK stays on in release.

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
set(CMAKE_C_FLAGS_RELEASE "-O3 -g")

add_compile_definitions(_GNU_SOURCE HOLDFAST_VERSION="${PROJECT_VERSION}")
foreach(bug IN LISTS HOLDFAST_SEEDED_BUG)
  message(WARNING "seeded bug '${bug}': this build breaks a rule on purpose")
endforeach()

add_compile_options(
  -Wall
  -Wextra
  -Wshadow
  -Wstrict-prototypes
  -Wmissing-prototypes
  -Wold-style-definition
  -Wvla
  -Wpointer-arith
  -Wwrite-strings
  -Wformat=2
  -Wimplicit-fallthrough
  -Wno-unused-parameter # callbacks and cmocka tests take what they are given
  # Wrong in every variant and with every compiler:
  -Werror=implicit-function-declaration
  -Werror=incompatible-pointer-types
  -Werror=int-conversion
  -Werror=return-type
  -Werror=vla)

# A duplicate cell of a state table is a build error, not a silent override.
if(CMAKE_C_COMPILER_ID MATCHES "Clang")
  add_compile_options(-Winitializer-overrides -Werror=initializer-overrides)
else()
  add_compile_options(-Woverride-init -Werror=override-init)
endif()

if(HOLDFAST_WERROR)
  add_compile_options(-Werror)
endif()

if(HOLDFAST_SANITIZE)
  add_compile_options(-fsanitize=${HOLDFAST_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${HOLDFAST_SANITIZE})
endif()
if(HOLDFAST_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(HOLDFAST_COVERAGE)
  add_compile_options(--coverage -fprofile-update=atomic)
  add_link_options(--coverage)
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
if(HOLDFAST_HARDENING)
  add_compile_options(-fstack-protector-strong -fstack-clash-protection -U_FORTIFY_SOURCE
                      -D_FORTIFY_SOURCE=2)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    add_compile_options(-fcf-protection)
  endif()
  add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack)
endif()

if(HOLDFAST_LTO)
  include(CheckIPOSupported)
  check_ipo_supported(RESULT lto_works OUTPUT lto_why LANGUAGES C)
  if(lto_works)
    set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
  else()
    message(WARNING "no link-time optimisation: ${lto_why}")
  endif()
endif()
