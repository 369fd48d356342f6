#include "broker/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

/* What is leaked is looked for by a process that the sanitizer makes. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define SANDBOX_SANITIZED
#endif
#endif

void sandbox_allow_cores(bool allowed)
{
#ifndef SANDBOX_SANITIZED
#ifdef SEEDED_BUG_CORE_LEFT
    allowed = true;
#endif
    if (prctl(PR_SET_DUMPABLE, allowed, 0, 0, 0) != 0)
        log_line(LOG_WARNING, "core_dumps: %s", strerror(errno));
#else
    (void)allowed;
#endif
}

#if defined(__x86_64__)
#define SANDBOX_MACHINE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define SANDBOX_MACHINE AUDIT_ARCH_AARCH64
#endif

#if defined(SANDBOX_MACHINE) && !defined(SANDBOX_SANITIZED)

/* Calls that may be made whatever their arguments. The older ones of a pair are of x86_64 alone. */
static const uint16_t allowed_calls[] = {
    /* files: the store, the trace, what a reload reads, /proc/self */
    SYS_close,
    SYS_dup3, /* a log that was moved away */
    SYS_faccessat,
    SYS_faccessat2,
    SYS_fallocate,
    SYS_fchmod,
    SYS_fchmodat,
    SYS_fchown,
    SYS_fcntl,
    SYS_fdatasync,
    SYS_flock,
    SYS_fstat,
    SYS_fstatfs,
    SYS_fsync,
    SYS_ftruncate,
    SYS_getcwd,
    SYS_getdents64,
    SYS_lseek,
    SYS_mkdirat,
    SYS_newfstatat,
    SYS_openat,
    SYS_pread64,
    SYS_preadv,
    SYS_pwrite64,
    SYS_pwritev,
    SYS_read,
    SYS_readlinkat,
    SYS_readv,
    SYS_renameat,
    SYS_renameat2,
    SYS_statx,
    SYS_umask,
    SYS_unlinkat,
    SYS_utimensat,
    SYS_write,
    SYS_writev,
#ifdef __x86_64__
    SYS_access,
    SYS_lstat,
    SYS_mkdir,
    SYS_open,
    SYS_readlink,
    SYS_rename,
    SYS_rmdir,
    SYS_stat,
    SYS_unlink,
#endif
    /* connections that were accepted, and what is waited for */
    SYS_accept,
    SYS_accept4,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_eventfd2,
    SYS_getpeername,
    SYS_getsockname,
    SYS_getsockopt,
    SYS_ppoll,
    SYS_pselect6,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendfile,
    SYS_setsockopt,
    SYS_shutdown,
#ifdef __x86_64__
    SYS_epoll_wait,
    SYS_poll,
    SYS_select,
#endif
    /* memory */
    SYS_brk,
    SYS_madvise,
    SYS_membarrier,
    SYS_mremap,
    SYS_munmap,
    /* threads, signals and the end */
    SYS_exit,
    SYS_exit_group,
    SYS_futex,
    SYS_restart_syscall,
    SYS_rseq,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_sched_getaffinity,
    SYS_sched_yield,
    SYS_set_robust_list,
    SYS_sigaltstack,
    /* time, chance, and who it is */
    SYS_clock_getres,
    SYS_clock_gettime,
    SYS_clock_nanosleep,
    SYS_getcpu,
    SYS_getegid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getpid,
    SYS_getrandom,
    SYS_getrusage,
    SYS_gettid,
    SYS_gettimeofday,
    SYS_getuid,
    SYS_nanosleep,
    SYS_sysinfo,
    SYS_uname,
#ifdef __x86_64__
    SYS_time,
#endif
};

/* Calls that may be made where `argument & mask` is `value`, in its lower half. */
struct condition {
    uint32_t call;
    uint32_t argument, mask, value;
};

enum {
    ALL = -1,
    NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                 CLONE_NEWPID | CLONE_NEWNET,
    TERMINAL_QUESTION = 0x5401, /* TCGETS: stdio asks of a file whether it is one */
    /* Debian 12's last call and those that came later: as if this were an older system, for which
     * the C library has another way. */
    NEWER_CALLS = 451,
};

/* The process that installs it is the only one that it may signal. */
#define SELF 0

/* No connect: an accepted connection can be ended and connected to somebody else, and so can a
 * listener that is shut down, by MSG_FASTOPEN. What is made for each packet is first. */
static const struct condition conditions[] = {
    {SYS_sendto, 3, MSG_FASTOPEN, 0},
    {SYS_sendmsg, 2, MSG_FASTOPEN, 0},
    {SYS_clone, 0, (uint32_t)(CLONE_THREAD | NAMESPACES), CLONE_THREAD}, /* no process */
    {SYS_mmap, 2, PROT_EXEC, 0},
    {SYS_mprotect, 2, PROT_EXEC, 0},
    {SYS_socket, 0, (uint32_t)ALL, AF_UNIX}, /* systemd's, and our own control socket */
    {SYS_ioctl, 1, (uint32_t)ALL, TERMINAL_QUESTION},
    {SYS_prctl, 0, (uint32_t)ALL, PR_SET_NAME},
    {SYS_prlimit64, 0, (uint32_t)ALL, 0},
#ifdef SYS_getrlimit
    {SYS_getrlimit, 0, 0, 0},
#endif
    {SYS_kill, 0, (uint32_t)ALL, SELF},
    {SYS_tgkill, 0, (uint32_t)ALL, SELF},
};

enum {
    CALL_COUNT = sizeof allowed_calls / sizeof *allowed_calls,
    CONDITION_COUNT = sizeof conditions / sizeof *conditions,
    PROGRAM_MAX = 16 + 6 * CONDITION_COUNT + 2 * CALL_COUNT,
};

struct program {
    struct sock_filter steps[PROGRAM_MAX];
    unsigned short count;
};

static void append(struct program *program, uint16_t code, uint32_t value, uint8_t skip_if,
                   uint8_t skip_else)
{
    CHECK(program->count < PROGRAM_MAX);
    program->steps[program->count++] =
        (struct sock_filter){.code = code, .k = value, .jt = skip_if, .jf = skip_else};
}

static void load(struct program *program, uint32_t offset)
{
    append(program, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

static void answer(struct program *program, uint32_t verdict)
{
    append(program, BPF_RET | BPF_K, verdict, 0, 0);
}

static uint32_t argument_offset(uint32_t index)
{
    uint32_t offset = (uint32_t)(offsetof(struct seccomp_data, args) + index * sizeof(uint64_t));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    offset += sizeof(uint32_t);
#endif
    return offset;
}

static void allow_where(struct program *program, const struct condition *condition)
{
    bool signals = condition->call == SYS_kill || condition->call == SYS_tgkill;
    uint32_t value = signals ? (uint32_t)getpid() : condition->value;
    append(program, BPF_JMP | BPF_JEQ | BPF_K, condition->call, 0, 5);
    load(program, argument_offset(condition->argument));
    append(program, BPF_ALU | BPF_AND | BPF_K, condition->mask, 0, 0);
    append(program, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
    answer(program, SECCOMP_RET_ALLOW);
    load(program, offsetof(struct seccomp_data, nr));
}

static void write_program(struct program *program, uint32_t refusal)
{
    load(program, offsetof(struct seccomp_data, arch));
    append(program, BPF_JMP | BPF_JEQ | BPF_K, SANDBOX_MACHINE, 1, 0);
    answer(program, SECCOMP_RET_KILL_PROCESS); /* of another machine: its numbers mean others */
    load(program, offsetof(struct seccomp_data, nr));
    /* First: the kernel knows by heart (Linux 5.11) those that are always let through. */
    for (unsigned i = 0; i < CONDITION_COUNT; i++)
        allow_where(program, &conditions[i]);
    for (unsigned i = 0; i < CALL_COUNT; i++) {
        append(program, BPF_JMP | BPF_JEQ | BPF_K, allowed_calls[i], 0, 1);
        answer(program, SECCOMP_RET_ALLOW);
    }
    /* Its flags cannot be seen; without it the C library takes clone. */
    append(program, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 1, 0);
    append(program, BPF_JMP | BPF_JGE | BPF_K, NEWER_CALLS, 0, 1);
    answer(program, SECCOMP_RET_ERRNO | ENOSYS);
    answer(program, refusal);
}

void sandbox_close(enum sandbox sandbox)
{
    static const uint32_t refusals[] = {
        [SANDBOX_REFUSE] = SECCOMP_RET_ERRNO | EPERM,
        [SANDBOX_KILL] = SECCOMP_RET_KILL_PROCESS,
    };
    if (sandbox == SANDBOX_OFF)
        return;
    struct program program = {.count = 0};
    uint32_t refusal = refusals[sandbox];
#ifdef SEEDED_BUG_SANDBOX_OPEN
    refusal = SECCOMP_RET_ALLOW;
#endif
    write_program(&program, refusal);
    struct sock_fprog filter = {.len = program.count, .filter = program.steps};
    unsigned flags = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG;
#ifdef SEEDED_BUG_SANDBOX_OF_ONE_THREAD
    flags = SECCOMP_FILTER_FLAG_LOG;
#endif
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &filter) == 0)
        return;
    log_line(LOG_WARNING, "sandbox: %s: system calls are not filtered", strerror(errno));
}

#else

void sandbox_close(enum sandbox sandbox)
{
#ifndef SANDBOX_SANITIZED
    if (sandbox != SANDBOX_OFF)
        log_line(LOG_WARNING, "sandbox: there is no list for this machine: system calls are not "
                              "filtered");
#else
    (void)sandbox;
#endif
}

#endif
