/* SPDX-License-Identifier: MIT */
/* The trial: posix_spawn(3) starts the child, pidfd_open(2) lets poll(2) wait for it. */
#include "trial.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <sysexits.h>

/* The most time that a trial may take. The longest file takes about a second. */
#define TRIAL_MSEC 60000

/* The status of a program that the dynamic linker could not start. */
#define STATUS_NOT_STARTED 127

/* Gives the child no output and default signals. Return: 0; -ENOMEM. */
static int prepare(posix_spawn_file_actions_t *files, posix_spawnattr_t *attributes)
{
        sigset_t none, all;

        (void)sigemptyset(&none);
        (void)sigfillset(&all);
        if (posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0) ||
            posix_spawn_file_actions_addopen(files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0) ||
            posix_spawn_file_actions_adddup2(files, STDOUT_FILENO, STDERR_FILENO))
                return -ENOMEM;
        (void)posix_spawnattr_setsigmask(attributes, &none);
        (void)posix_spawnattr_setsigdefault(attributes, &all);
        (void)posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
        return 0;
}

/* Executes this very program, even if its file has been replaced. Return: 0 or -errno. */
static int spawn(const char *path, pid_t *child)
{
        char name[] = "selectd", check[] = "--check", config[] = "--config";
        _cleanup_(freep) char *file = strdup(path);
        char *const arguments[] = { name, check, config, file, NULL };
        posix_spawn_file_actions_t files;
        posix_spawnattr_t attributes;
        int r;

        if (!file)
                return -ENOMEM;
        if (posix_spawn_file_actions_init(&files))
                return -ENOMEM;
        if (posix_spawnattr_init(&attributes)) {
                (void)posix_spawn_file_actions_destroy(&files);
                return -ENOMEM;
        }
        r = prepare(&files, &attributes);
        if (r == 0)
                r = -posix_spawn(child, "/proc/self/exe", &files, &attributes, arguments, environ);
        (void)posix_spawnattr_destroy(&attributes);
        (void)posix_spawn_file_actions_destroy(&files);
        return r;
}

/* Waits until the child ends. Return: 0; -ECANCELED; -ETIMEDOUT; what pidfd_open(2) fails with. */
static int wait_for_end(pid_t child, int cancel_fd)
{
        _cleanup_(closep) int fd = pidfd_open(child, 0);
        struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
                                { .fd = cancel_fd, .events = POLLIN } };
        int n;

        if (fd < 0)
                return -errno;
        do
                n = poll(fds, ELEMENTS(fds), TRIAL_MSEC);
        while (n < 0 && errno == EINTR);
        if (fds[1].revents)
                return -ECANCELED;
        return n > 0 ? 0 : -ETIMEDOUT;
}

/* Reaps the child. Return: its status, see waitpid(2). */
static int reap(pid_t child)
{
        int status = 0;

        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
                ;
        return status;
}

/* Return: 0: the file can be read; -ENOMEM; -ENOEXEC. */
static int judge(int status, char *why)
{
        if (WIFSIGNALED(status)) {
                (void)snprintf(why, TRIAL_WHY_SIZE,
                               "the process that tried the file first died of signal %d (%s)",
                               WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
                return -ENOEXEC;
        }
        switch (WEXITSTATUS(status)) {
        case EX_OK:
        case EX_CONFIG: /* mistakes; the reader of the file reports them */
        case STATUS_NOT_STARTED:
                return 0;
        case EX_OSERR:
                return -ENOMEM;
        default:
                (void)snprintf(why, TRIAL_WHY_SIZE,
                               "the process that tried the file first ended with status %d",
                               WEXITSTATUS(status));
                return -ENOEXEC;
        }
}

int trial_run(const char *path, int cancel_fd, char *why)
{
        pid_t child;
        int r = spawn(path, &child), status;

        if (r < 0)
                return 0;
        r = wait_for_end(child, cancel_fd);
        if (r < 0)
                (void)kill(child, SIGKILL);
        status = reap(child);
        if (r == 0)
                return judge(status, why);
        if (r == -ECANCELED)
                return r;
        if (r != -ETIMEDOUT)
                return 0; /* the child could not be waited for */
        (void)snprintf(why, TRIAL_WHY_SIZE,
                       "the process that tried the file first did not end in %d s",
                       TRIAL_MSEC / 1000);
        return -ENOEXEC;
}
