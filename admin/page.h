/* What of the HTTP server is a file: the dashboard, which is part of the program. */
#ifndef ADMIN_PAGE_H
#define ADMIN_PAGE_H

#include <stddef.h>

struct page {
    const char *path, *type;
    const unsigned char *data;
    size_t size;
};

/* Nothing but what this server sends, no script in the page, no frame around it. */
#define PAGE_POLICY                                                                                \
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "                \
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const struct page *page_find(const char *path); /* NULL: there is none */

#endif
