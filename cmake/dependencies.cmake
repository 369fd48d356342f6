# Every library from outside. script/bootstrap installs them.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_program(RAGEL ragel REQUIRED)

pkg_check_modules(sqlite3 REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(liburcu REQUIRED IMPORTED_TARGET liburcu-qsbr liburcu-cds)
pkg_check_modules(libconfuse REQUIRED IMPORTED_TARGET libconfuse)
pkg_check_modules(jansson REQUIRED IMPORTED_TARGET jansson)
pkg_check_modules(microhttpd REQUIRED IMPORTED_TARGET libmicrohttpd)
find_library(WSLAY wslay REQUIRED) # Debian's package has no pkg-config file
find_path(WSLAY_INCLUDE wslay/wslay.h REQUIRED)
add_library(wslay INTERFACE)
target_include_directories(wslay SYSTEM INTERFACE ${WSLAY_INCLUDE})
target_link_libraries(wslay INTERFACE ${WSLAY})
if(HOLDFAST_JEMALLOC)
  pkg_check_modules(jemalloc REQUIRED IMPORTED_TARGET jemalloc)
endif()
if(BUILD_TESTING OR HOLDFAST_FUZZ)
  pkg_check_modules(cmocka REQUIRED IMPORTED_TARGET cmocka)
endif()

# wolfSSL, as target `wolfssl`. In this order: -DHOLDFAST_WOLFSSL_PREFIX, the prefix that
# script/bootstrap noted for this checkout, the system's library (which it notes as "system").
add_library(wolfssl INTERFACE)
set(wolfssl_note ${PROJECT_SOURCE_DIR}/build/.wolfssl-prefix)
set(wolfssl_prefix ${HOLDFAST_WOLFSSL_PREFIX})
if(EXISTS ${wolfssl_note})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${wolfssl_note})
  if(NOT wolfssl_prefix)
    file(STRINGS ${wolfssl_note} wolfssl_prefix LIMIT_COUNT 1)
  endif()
endif()
if(wolfssl_prefix AND NOT wolfssl_prefix STREQUAL "system")
  if(NOT EXISTS ${wolfssl_prefix}/lib/libwolfssl.a)
    message(FATAL_ERROR "${wolfssl_prefix} holds no wolfSSL: run script/bootstrap")
  endif()
  target_include_directories(wolfssl SYSTEM INTERFACE ${wolfssl_prefix}/include)
  target_link_libraries(wolfssl INTERFACE ${wolfssl_prefix}/lib/libwolfssl.a m)
  message(STATUS "wolfSSL: ${wolfssl_prefix}")
else()
  pkg_check_modules(system_wolfssl IMPORTED_TARGET wolfssl)
  if(NOT system_wolfssl_FOUND)
    message(FATAL_ERROR "no wolfSSL: run script/bootstrap")
  endif()
  target_link_libraries(wolfssl INTERFACE PkgConfig::system_wolfssl)
  message(WARNING
    "Using the system's libwolfssl ${system_wolfssl_VERSION}: TLS works, but with a fifth of the "
    "handshakes and a twentieth of the throughput, and with some 60 KB for each idle session. "
    "script/bootstrap builds a better one where the distribution's sources are to be had.")
endif()
