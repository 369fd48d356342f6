/* Several certificates for one listener: the client says which server it wants (RFC 6066, SNI). */
#include "tls/tls_internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum { NAME_MAX_SIZE = 255, PATH_SIZE = 4400 };

static void free_name(struct tls_name *name)
{
    wolfSSL_CTX_free(name->ctx);
    tls_staple_free(name->staple);
    free(name->name);
}

void tls_names_free(struct tls_context *context)
{
    for (size_t i = 0; i < context->name_count; i++)
        free_name(&context->names[i]);
    free(context->names);
    context->names = NULL;
    context->name_count = 0;
}

static void to_lower(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

/* ---- Loading ---- */

/* Everything as the listener has it, but for certificate, key and OCSP response (or NULL). */
static enum status make(struct tls_making *making, const char *certificate, const char *key,
                        const char *ocsp_response, struct tls_name *out)
{
    struct tls_options options = *making->options;
    struct peer_rules unused = {0}; /* the rules are those of the listener */
    struct tls_making one = {.rules = &unused,
                             .not_after_s = making->not_after_s,
                             .options = &options,
                             .error = making->error,
                             .error_size = making->error_size};
    options.certificate = certificate;
    options.key = key;
    options.ocsp_response = ocsp_response;
    options.crl = NULL;
    enum status status = tls_context_configure(&one);
    peer_authorities_fini(&unused.authorities);
    out->ctx = one.ctx;
    out->staple = one.staple;
    return status;
}

static enum status add(struct tls_making *making, struct tls_context *context, const char *stem,
                       int stem_size)
{
    char certificate[PATH_SIZE];
    char key[PATH_SIZE];
    char ocsp_response[PATH_SIZE];
    const char *directory = making->options->sni_directory;
    struct stat found;
    struct tls_name name = {0};
    struct tls_name *names =
        realloc(context->names, (context->name_count + 1) * sizeof *context->names);
    if (names == NULL)
        return STATUS_NO_MEMORY;
    context->names = names;
    snprintf(certificate, sizeof certificate, "%s/%.*s.pem", directory, stem_size, stem);
    snprintf(key, sizeof key, "%s/%.*s.key", directory, stem_size, stem);
    snprintf(ocsp_response, sizeof ocsp_response, "%s/%.*s.ocsp", directory, stem_size, stem);
    bool has_response = stat(ocsp_response, &found) == 0;
    enum status status = make(making, certificate, key, has_response ? ocsp_response : NULL, &name);
    if (status == STATUS_OK && (name.name = strndup(stem, (size_t)stem_size)) == NULL)
        status = STATUS_NO_MEMORY;
    if (status != STATUS_OK) {
        free_name(&name);
        return status;
    }
    to_lower(name.name);
    names[context->name_count++] = name;
    return STATUS_OK;
}

static enum status add_all(struct tls_making *making, struct tls_context *context, DIR *directory)
{
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        const char *dot = strrchr(entry->d_name, '.');
        if (entry->d_name[0] != '.' && dot != NULL && strcmp(dot, ".pem") == 0)
            TRY(add(making, context, entry->d_name, (int)(dot - entry->d_name)));
    }
    if (context->name_count == 0)
        return tls_refuse(making, STATUS_INVALID,
                          "%s: holds no certificate: they are called NAME.pem, their keys NAME.key",
                          making->options->sni_directory);
    return STATUS_OK;
}

enum status tls_names_load(struct tls_making *making, struct tls_context *context)
{
    const char *path = making->options->sni_directory;
    if (path == NULL)
        return STATUS_OK;
    DIR *directory = opendir(path);
    if (directory == NULL)
        return tls_refuse(making, errno == EACCES ? STATUS_DENIED : STATUS_IO, "%s: %s", path,
                          strerror(errno));
    enum status status = add_all(making, context, directory);
    closedir(directory);
    return status;
}

/* ---- Choosing ---- */

static WOLFSSL_CTX *find(const struct tls_context *context, const char *wanted)
{
    for (size_t i = 0; i < context->name_count; i++) {
        if (strcmp(context->names[i].name, wanted) == 0)
            return context->names[i].ctx;
    }
    return NULL;
}

WOLFSSL_CTX *tls_names_choose(const struct tls_context *context, struct bytes hello)
{
    enum { RECORD_HANDSHAKE = 22 };
    char name[NAME_MAX_SIZE + 2];
    word32 size = NAME_MAX_SIZE;
    if (context->name_count == 0 || hello.data[0] != RECORD_HANDSHAKE)
        return context->ctx;
    int found = wolfSSL_SNI_GetFromBuffer(hello.data, (word32)hello.size, WOLFSSL_SNI_HOST_NAME,
                                          (byte *)name + 1, &size);
    if (found == INCOMPLETE_DATA)
        return NULL;
    if (found != WOLFSSL_SUCCESS || memchr(name + 1, '\0', size) != NULL)
        return context->ctx;
    name[1 + size] = '\0';
    to_lower(name + 1);
    WOLFSSL_CTX *chosen = find(context, name + 1);
    char *rest = strchr(name + 1, '.');
    if (chosen == NULL && rest != NULL) {
        *--rest = '*';
        chosen = find(context, rest);
    }
#ifdef SEEDED_BUG_ANY_CERTIFICATE
    chosen = context->names[0].ctx;
#endif
    return chosen != NULL ? chosen : context->ctx;
}
