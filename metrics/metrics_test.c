#include "metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"

static void docs_metrics_md_is_what_the_table_says(void **state)
{
    struct buffer committed = {0};
    char *expected = NULL, error[256];
    size_t size = 0;
    FILE *file = open_memstream(&expected, &size);
    metrics_print_markdown(file);
    fclose(file);
    assert_int_equal(file_read("docs/metrics.md", 1 << 20, &committed, error, sizeof error),
                     STATUS_OK);
    if (committed.size != size || memcmp(committed.data, expected, size) != 0)
        fail_msg("docs/metrics.md is old: holdfast --help-metrics-markdown > docs/metrics.md");
    buffer_fini(&committed);
    free(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(docs_metrics_md_is_what_the_table_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
