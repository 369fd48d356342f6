# holdfast_folder(name [DEPENDS folder...] [LIBRARIES target...])
#
# One static library hf_<name> of the calling folder's sources:
#   *.c          compiled into the library
#   *.rl         through ragel into the build tree, then compiled in. A grammar without a `write`
#                statement, and any *.rlh, is only included by others.
#   *_test.c     one cmocka program <name>_<file> each, run by ctest from the source root
#   *_testing.c  helpers, compiled into each test and fuzz target of this folder
#   *_fuzz.c     one libFuzzer program <name>_<file> each, where HOLDFAST_FUZZ is on
#   main.c       left to the caller
#
# New files are picked up by the next build. A folder without sources yet is an empty library.

function(holdfast_folder name)
  cmake_parse_arguments(arg "" "" "DEPENDS;LIBRARIES" ${ARGN})

  file(GLOB sources CONFIGURE_DEPENDS *.c)
  file(GLOB grammars CONFIGURE_DEPENDS *.rl *.rlh)
  set(tests ${sources})
  set(testing ${sources})
  set(fuzzers ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.c$")
  list(FILTER testing INCLUDE REGEX "_testing\\.c$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.c$")
  list(FILTER sources EXCLUDE REGEX "(_test|_testing|_fuzz|/main)\\.c$")

  holdfast_ragel(generated ${grammars})
  holdfast_seeded_bugs(${sources})

  if(sources OR generated)
    add_library(hf_${name} STATIC ${sources} ${generated})
    set(scope PUBLIC)
  else()
    add_library(hf_${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(hf_${name} ${scope} ${PROJECT_SOURCE_DIR})
  list(TRANSFORM arg_DEPENDS PREPEND hf_)
  target_link_libraries(hf_${name} ${scope} ${arg_DEPENDS} ${arg_LIBRARIES} Threads::Threads)

  if(BUILD_TESTING)
    foreach(file IN LISTS tests)
      holdfast_test(${name} ${file} ${testing})
    endforeach()
  endif()
  if(HOLDFAST_FUZZ)
    foreach(file IN LISTS fuzzers)
      cmake_path(GET file STEM stem)
      add_executable(${name}_${stem} ${file} ${testing})
      # The helpers may use cmocka's assertions.
      target_link_libraries(${name}_${stem} PRIVATE hf_${name} PkgConfig::cmocka)
      target_link_options(${name}_${stem} PRIVATE -fsanitize=fuzzer)
    endforeach()
  endif()
endfunction()

# holdfast_seeded_bugs(source...): defines SEEDED_BUG_x for the files that name it, and for all of the
# folder where one of its tables or headers does. So going from one bug to the next compiles little.
function(holdfast_seeded_bugs)
  file(GLOB shared CONFIGURE_DEPENDS *.def *.inc *.h)
  foreach(bug IN LISTS HOLDFAST_SEEDED_BUG)
    set(breaks_all OFF)
    foreach(file IN LISTS shared ARGN)
      file(STRINGS ${file} lines REGEX "SEEDED_BUG_${bug}([^A-Z0-9_]|$)" LIMIT_COUNT 1)
      if(lines AND file IN_LIST shared)
        set(breaks_all ON)
      elseif(lines OR breaks_all)
        set_property(SOURCE ${file} APPEND PROPERTY COMPILE_DEFINITIONS SEEDED_BUG_${bug}=1)
      endif()
    endforeach()
  endforeach()
endfunction()

# holdfast_ragel(out grammar...): the generated C files go to `out`.
function(holdfast_ragel out)
  set(generated)
  foreach(file IN LISTS ARGN)
    # Whether a grammar is a program of its own can change, so look again when it changes.
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} writes REGEX "^[^#]*write[ \t]+(data|init|exec)" LIMIT_COUNT 1)
    if(writes)
      cmake_path(GET file STEM stem)
      set(target ${CMAKE_CURRENT_BINARY_DIR}/${stem}.rl.c)
      add_custom_command(
        OUTPUT ${target}
        COMMAND ${RAGEL} -G1 -C -I ${PROJECT_SOURCE_DIR} -I ${CMAKE_CURRENT_SOURCE_DIR}
                -o ${target} ${file}
        DEPENDS ${ARGN} # any other of them may be included by this one
        COMMENT "ragel ${stem}.rl"
        VERBATIM)
      list(APPEND generated ${target})
    endif()
  endforeach()
  # What ragel's own lines trip over; the code in the grammar's actions keeps the other warnings.
  set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS
    "-Wno-unused-variable;-Wno-unused-const-variable;-Wno-unused-label;-Wno-implicit-fallthrough;-Wno-type-limits")
  set(${out} ${generated} PARENT_SCOPE)
endfunction()

# holdfast_test(folder file [more files...]): one cmocka program under ctest.
function(holdfast_test folder file)
  cmake_path(GET file STEM stem)
  set(test ${folder}_${stem})
  add_executable(${test} ${file} ${ARGN})
  target_link_libraries(${test} PRIVATE hf_${folder} PkgConfig::cmocka)
  add_test(NAME ${test} COMMAND ${test} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  set(timeout_s 300) # seconds on a machine that is free; a hang ends here
  set_tests_properties(${test} PROPERTIES LABELS ${folder} TIMEOUT ${timeout_s} ENVIRONMENT
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1;UBSAN_OPTIONS=print_stacktrace=1;TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1")
endfunction()
