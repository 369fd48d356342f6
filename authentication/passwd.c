#include "authentication/passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "authentication/password.h"
#include "authentication/password_file.h"
#include "base/base64.h"
#include "base/file.h"

enum {
    EXIT_USAGE = 2,
    LINE_SIZE = 2048,
    NEW_FILE_MODE = 0600,
    KEPT_MODE = 0640,
    SCRAM_ITERATIONS = 15000, /* the client's work at each connection: RFC 7677 section 4 */
    DECOYS_SIZE = 32,
};

static const char usage[] =
    "usage: holdfast passwd [--scram] FILE USER     set the password of a user, new or not\n"
    "       holdfast passwd --delete FILE USER      delete a user\n"
    "       holdfast passwd [--scram] --batch FILE  set many, from lines USER:PASSWORD on stdin\n"
    "\n"
    "  --scram         for clients that prove their password by SCRAM-SHA-256 (MQTT 5); it can be\n"
    "                  sent in CONNECT all the same\n"
    "  --iterations N  with --scram: how often it is hashed, by each client at each connection;\n"
    "                  4096 to 10000000, 15000 unless told; the same for all users of a file\n"
    "\n"
    "The password is asked for twice on a terminal, without showing it; from anything else, one\n"
    "line of stdin is read. FILE is made where it is missing, for its owner's eyes only, or for "
    "the\n"
    "group's too where its directory hands its group on (set-group-ID), and replaced as a whole "
    "or\n"
    "not at all. Comments and other users stay as they are. Send the broker SIGHUP for it to read\n"
    "the file again.\n";

/* A file being changed: its text, under a lock on what has the name. */
struct edit {
    const char *path;
    int fd;
    bool created; /* by us, and nothing is in it yet */
    struct buffer text;
    unsigned iterations; /* of SCRAM; 0: a hash that is for passwords alone */
};

static bool fail(const char *path, const char *what)
{
    fprintf(stderr, "holdfast passwd: %s: %s\n", path, what);
    return false;
}

/* ---- The file ---- */

/* Whether what is made beside the file gets the group of their directory: then it is meant to be
 * read by that group, as /etc/holdfast of the package is. */
static bool group_is_handed_on(const char *path)
{
    struct stat directory;
    char *folder = file_folder(path);
    bool handed_on =
        folder != NULL && stat(folder, &directory) == 0 && (directory.st_mode & S_ISGID);
    free(folder);
    return handed_on;
}

static int make_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CREAT | O_EXCL, NEW_FILE_MODE);
    if (fd >= 0 && group_is_handed_on(path))
        fchmod(fd, KEPT_MODE); /* where it cannot be, it is its owner's alone */
    return fd;
}

/* What is there, or a new one. */
static int open_file(struct edit *edit)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW;
    int fd = open(edit->path, flags);
    edit->created = fd < 0 && errno == ENOENT;
    return edit->created ? make_file(edit->path, flags) : fd;
}

/* Locks the file, and not one that somebody else has put another in the place of meanwhile. */
static bool lock(struct edit *edit)
{
    for (;;) {
        struct stat opened, named;
        edit->fd = open_file(edit);
        if (edit->fd < 0 && errno == EEXIST)
            continue; /* made by somebody else between the two calls */
        if (edit->fd < 0 || flock(edit->fd, LOCK_EX) != 0 || fstat(edit->fd, &opened) != 0)
            return fail(edit->path, strerror(errno));
        if (stat(edit->path, &named) == 0 && named.st_ino == opened.st_ino &&
            named.st_dev == opened.st_dev)
            return true;
        close(edit->fd);
    }
}

static bool begin(struct edit *edit, const char *path)
{
    char error[512];
    struct password_file *file;
    *edit = (struct edit){.path = path, .fd = -1};
    if (!lock(edit))
        return false;
    if (file_read(path, PASSWORD_FILE_MAX, &edit->text, error, sizeof error) != STATUS_OK ||
        password_file_parse(path, bytes_of(edit->text.data, edit->text.size), &file, error,
                            sizeof error) != STATUS_OK) {
        fprintf(stderr, "holdfast passwd: %s\n", error); /* not to be made worse */
        return false;
    }
    password_file_free(file);
    return true;
}

static bool write_all(int fd, const uint8_t *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, data, size);
        if (written < 0)
            return false;
        data += written;
        size -= (size_t)written;
    }
    return true;
}

/* The new text in a file beside it that nobody has open yet, then in its place; whoever could read
 * the old one, of owner and group, can read the new one. */
static bool commit(struct edit *edit)
{
    char temporary[4096];
    struct stat old;
    int size = snprintf(temporary, sizeof temporary, "%s.new", edit->path);
    if (size < 0 || (size_t)size >= sizeof temporary || fstat(edit->fd, &old) != 0)
        return fail(edit->path, "cannot be replaced");
    unlink(temporary); /* of one that was interrupted */
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, NEW_FILE_MODE);
    bool written = fd >= 0 && fchown(fd, old.st_uid, old.st_gid) == 0 &&
                   fchmod(fd, old.st_mode & KEPT_MODE) == 0 &&
                   write_all(fd, edit->text.data, edit->text.size) && fsync(fd) == 0;
    int failure = errno;
    if (fd >= 0)
        close(fd);
    if (written && rename(temporary, edit->path) == 0)
        return true;
    fail(temporary, strerror(written ? errno : failure));
    unlink(temporary);
    return false;
}

static void end(struct edit *edit)
{
    buffer_fini(&edit->text);
    if (edit->fd >= 0)
        close(edit->fd);
}

/* ---- Its lines ---- */

/* Where the user's line begins, and its size with the newline; the end of the text if there is
 * none. */
static size_t find_line(const struct buffer *text, const char *user, size_t *out_size)
{
    size_t user_size = strlen(user);
    for (size_t at = 0; at < text->size; at += *out_size) {
        const uint8_t *line = text->data + at;
        const uint8_t *newline = memchr(line, '\n', text->size - at);
        *out_size = newline != NULL ? (size_t)(newline - line) + 1 : text->size - at;
        if (*out_size > user_size && memcmp(line, user, user_size) == 0 && line[user_size] == ':')
            return at;
    }
    *out_size = 0;
    return text->size;
}

static bool replace(struct edit *edit, size_t at, size_t size, const char *line)
{
    struct buffer *text = &edit->text;
    struct buffer changed = {0};
    bool ends_open = at == text->size && at > 0 && text->data[at - 1] != '\n';
    if (buffer_append(&changed, text->data, at) != STATUS_OK ||
        buffer_append(&changed, "\n", ends_open) != STATUS_OK ||
        buffer_append(&changed, line, strlen(line)) != STATUS_OK ||
        buffer_append(&changed, text->data + at + size, text->size - at - size) != STATUS_OK) {
        buffer_fini(&changed);
        return fail(edit->path, "out of memory");
    }
    buffer_fini(text);
    *text = changed;
    return true;
}

static bool is_user_name(const char *user)
{
    if (user[0] != '\0' && user[0] != '#' && strpbrk(user, ":\n\r") == NULL &&
        strchr(" \t", user[strlen(user) - 1]) == NULL)
        return true;
    fprintf(stderr,
            "holdfast passwd: \"%s\" cannot be a user's name: it is empty, begins with #, ends "
            "with white space, or has a colon or an end of line\n",
            user);
    return false;
}

static enum status hash(const struct edit *edit, const char *password, char out[PASSWORD_HASH_SIZE])
{
    struct bytes bytes = bytes_of_text(password);
    return edit->iterations > 0 ? password_hash_scram(bytes, edit->iterations, out)
                                : password_hash(bytes, out);
}

static bool set(struct edit *edit, const char *user, const char *password)
{
    char line[LINE_SIZE], hashed[PASSWORD_HASH_SIZE];
    size_t size;
    if (!is_user_name(user))
        return false;
    if (strlen(user) > sizeof line - sizeof hashed)
        return fail(user, "too long a name");
    switch (hash(edit, password, hashed)) {
    case STATUS_OK:
        break;
    case STATUS_INVALID:
        return fail(user, edit->iterations > 0
                              ? "a password for SCRAM has 1 to 511 characters of printable ASCII"
                              : "a password has 1 to 511 bytes");
    default:
        return fail(user, "the password cannot be hashed");
    }
    snprintf(line, sizeof line, "%s:%s\n", user, hashed);
    size_t at = find_line(&edit->text, user, &size);
    return replace(edit, at, size, line);
}

/* What is made up of about users that there are not, so that it stays the same over restarts. */
static bool add_decoys(struct edit *edit)
{
    uint8_t random[DECOYS_SIZE];
    char key[BASE64_SIZE(DECOYS_SIZE) + 1], line[sizeof key + 16];
    size_t size = strlen(password_file_decoys);
    for (size_t at = 0; at + size <= edit->text.size; at++) {
        if ((at == 0 || edit->text.data[at - 1] == '\n') &&
            memcmp(edit->text.data + at, password_file_decoys, size) == 0)
            return true;
    }
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return fail(edit->path, "no random numbers");
    base64_encode(bytes_of(random, sizeof random), key);
    snprintf(line, sizeof line, "%s%s\n", password_file_decoys, key);
    return replace(edit, 0, 0, line);
}

static bool delete_user(struct edit *edit, const char *user)
{
    size_t size, at = find_line(&edit->text, user, &size);
    if (size == 0)
        return fail(user, "there is no such user");
    return replace(edit, at, size, "");
}

/* ---- Passwords from people and pipes ---- */

/* One line without its end. False: there is none, or it is too long. */
static bool read_line(FILE *file, char line[LINE_SIZE])
{
    if (fgets(line, LINE_SIZE, file) == NULL)
        return false;
    size_t size = strcspn(line, "\n");
    bool whole = line[size] == '\n' || feof(file);
    if (size > 0 && line[size - 1] == '\r')
        size--;
    line[size] = '\0';
    return whole;
}

static bool ask(FILE *terminal, const char *question, char line[LINE_SIZE])
{
    struct termios shown, hidden;
    if (tcgetattr(fileno(terminal), &shown) != 0)
        return false;
    hidden = shown;
    hidden.c_lflag &= ~(tcflag_t)ECHO;
    /* First, for it drops what was typed until now. After Ctrl-C a shell puts its own mode back. */
    if (tcsetattr(fileno(terminal), TCSAFLUSH, &hidden) != 0)
        return false;
    fputs(question, stderr);
    bool got = read_line(terminal, line);
    tcsetattr(fileno(terminal), TCSADRAIN, &shown);
    fputc('\n', stderr);
    return got;
}

static bool get_password(const char *user, char line[LINE_SIZE])
{
    char again[LINE_SIZE];
    if (!isatty(STDIN_FILENO))
        return read_line(stdin, line) || fail(user, "no password on stdin");
    bool same = ask(stdin, "Password: ", line) && ask(stdin, "Once more: ", again) &&
                strcmp(line, again) == 0;
    explicit_bzero(again, sizeof again);
    return same || fail(user, "not the same twice");
}

static bool set_one(struct edit *edit, const char *user)
{
    char password[LINE_SIZE] = "";
    bool done = get_password(user, password) && set(edit, user, password);
    explicit_bzero(password, sizeof password);
    return done;
}

static bool set_many(struct edit *edit)
{
    char line[LINE_SIZE] = "";
    bool sound = true;
    for (unsigned number = 1; sound && read_line(stdin, line); number++) {
        char *colon = strchr(line, ':');
        if (colon != NULL)
            *colon = '\0';
        sound = colon != NULL && set(edit, line, colon + 1);
        if (!sound)
            fprintf(stderr, "holdfast passwd: stdin:%u: not USER:PASSWORD; nothing is changed\n",
                    number);
    }
    explicit_bzero(line, sizeof line);
    return sound && (feof(stdin) || fail("stdin", "a line that is too long"));
}

/* ---- The command line ---- */

enum task { TASK_SET, TASK_DELETE, TASK_BATCH };

static bool carry_out(enum task task, const char *path, const char *user, unsigned iterations)
{
    struct edit edit;
    setvbuf(stdin, NULL, _IONBF, 0); /* no passwords in a buffer that is not ours */
    bool done = begin(&edit, path);
    edit.iterations = iterations;
    if (done && iterations > 0)
        done = add_decoys(&edit);
    if (done)
        done = task == TASK_SET      ? set_one(&edit, user)
               : task == TASK_DELETE ? delete_user(&edit, user)
                                     : set_many(&edit);
    done = done && commit(&edit);
    if (!done && edit.created)
        unlink(path); /* an empty one would let nobody in */
    end(&edit);
    return done;
}

static bool read_iterations(const char *text, unsigned *out)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *out = (unsigned)number;
    return text[0] >= '1' && text[0] <= '9' && *end == '\0' &&
           number >= SCRAM_CREDENTIAL_ITERATIONS_MIN && number <= SCRAM_CREDENTIAL_ITERATIONS_MAX;
}

int passwd_command(int argc, char **argv)
{
    static const struct option options[] = {
        {"delete", no_argument, NULL, 'D'}, {"batch", no_argument, NULL, 'b'},
        {"scram", no_argument, NULL, 's'},  {"iterations", required_argument, NULL, 'i'},
        {"help", no_argument, NULL, 'h'},   {NULL, 0, NULL, 0},
    };
    enum task task = TASK_SET;
    unsigned iterations = SCRAM_ITERATIONS;
    bool scram = false, sound = true, counted = false;
    for (int option; (option = getopt_long(argc, argv, "Dbsi:h", options, NULL)) != -1;) {
        switch (option) {
        case 'D':
            task = TASK_DELETE;
            break;
        case 'b':
            task = TASK_BATCH;
            break;
        case 's':
            scram = true;
            break;
        case 'i':
            counted = true;
            sound = read_iterations(optarg, &iterations);
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_SUCCESS;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (argc - optind != (task == TASK_BATCH ? 1 : 2) || !sound || (counted && !scram) ||
        (scram && task == TASK_DELETE)) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    return carry_out(task, argv[optind], argv[optind + 1], scram ? iterations : 0) ? EXIT_SUCCESS
                                                                                   : EXIT_FAILURE;
}
