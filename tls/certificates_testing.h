/* Certificates for tests, made by the openssl command when a test program starts. */
#ifndef TLS_CERTIFICATES_TESTING_H
#define TLS_CERTIFICATES_TESTING_H

/* Makes all of them in a new temporary directory; 0 if that went well. For cmocka's group setup. */
int certificates_make(void **state);
/* Removes the directory. */
int certificates_remove(void **state);

/* Path of a file in the directory; valid for the next seven calls. */
const char *certificate_path(const char *name);

#endif
