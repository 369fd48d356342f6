#include "broker/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"

static enum status become(const struct passwd *user)
{
#ifndef SEEDED_BUG_GROUPS_KEPT
    if (initgroups(user->pw_name, user->pw_gid) != 0)
        return STATUS_DENIED;
#endif
    if (setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0)
        return STATUS_DENIED;
#ifdef SEEDED_BUG_ROOT_IN_RESERVE
    return seteuid(user->pw_uid) == 0 ? STATUS_OK : STATUS_DENIED;
#endif
    return setresuid(user->pw_uid, user->pw_uid, user->pw_uid) == 0 ? STATUS_OK : STATUS_DENIED;
}

static enum status refuse(char *error, size_t error_size, const char *user, const char *why)
{
    snprintf(error, error_size, "broker: user \"%s\": %s", user, why);
    return STATUS_DENIED;
}

enum status privileges_drop(const char *user, char *error, size_t error_size)
{
    if (user == NULL)
        return STATUS_OK;
    const struct passwd *found = getpwnam(user);
    if (found == NULL)
        return refuse(error, error_size, user, "there is no such user");
    if (found->pw_uid == 0)
        return refuse(error, error_size, user, "is root, who has nothing less to do");
    uid_t before = geteuid();
    if (before != 0 && before != found->pw_uid)
        return refuse(error, error_size, user, "it takes root to become another user");
    if (before == 0 && become(found) != STATUS_OK)
        return refuse(error, error_size, user, strerror(errno));
    /* And no program that it starts, or is made to start, gets more again. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return refuse(error, error_size, user, strerror(errno));
    log_line(LOG_NOTICE, "user \"%s\" from here on", user);
    return STATUS_OK;
}
