#include "admin/page.h"

#include <string.h>

#include "page_files.h"

#define MACHINE(name)                                                                              \
    {                                                                                              \
        "/machine/" #name ".svg", "image/svg+xml", machine_##name, sizeof machine_##name           \
    }

static const struct page pages[] = {
    {"/", "text/html; charset=utf-8", page_html, sizeof page_html},
    {"/page.css", "text/css; charset=utf-8", page_css, sizeof page_css},
    {"/page.js", "text/javascript; charset=utf-8", page_js, sizeof page_js},
    MACHINE(connection),
    MACHINE(session),
    MACHINE(will),
    MACHINE(outbound_qos1),
    MACHINE(outbound_qos2),
};

const struct page *page_find(const char *path)
{
    for (size_t i = 0; i < sizeof pages / sizeof pages[0]; i++) {
        if (strcmp(pages[i].path, path) == 0)
            return &pages[i];
    }
    return NULL;
}
