/* The reload's thread runs the trial, reads the file, and posts the result to the loop. */
#include "reload.h"
#include "mistake.h"
#include "trial.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

struct reload {
        struct loop *loop;
        void (*on_done)(void *arg);
        void *arg;
        char *path;
        pthread_t thread;
        bool has_thread;
        int cancel_fd; /* readable: cancelled */
        atomic_bool cancelled;

        struct loop_task done; /* the members below are the thread's until this is posted */
        int error;
        struct config *config;
        char why[RELOAD_WHY_SIZE];
};

_Static_assert(RELOAD_WHY_SIZE >= TRIAL_WHY_SIZE, "load() has one buffer for both");

static void on_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        struct reload *reload = arg;

        if (!atomic_load(&reload->cancelled))
                mistake_log(NULL, file, line, text);
}

static void on_task(struct loop_task *task)
{
        struct reload *reload = container_of(task, struct reload, done);

        reload->on_done(reload->arg);
}

static int load(struct reload *reload)
{
        int r = trial_run(reload->path, reload->cancel_fd, reload->why);

        if (r == 0 && atomic_load(&reload->cancelled))
                r = -ECANCELED;
        if (r == 0)
                r = config_load(reload->path, on_mistake, reload, &reload->config);
        if (r == -EINVAL)
                (void)snprintf(reload->why, sizeof(reload->why), "the file has mistakes");
        else if (r < 0 && r != -ENOEXEC)
                (void)snprintf(reload->why, sizeof(reload->why), "%s", strerrordesc_np(-r));
        return r;
}

static void *run(void *arg)
{
        struct reload *reload = arg;

        reload->error = load(reload);
        loop_post(reload->loop, &reload->done);
        return NULL;
}

/* The thread blocks all signals, because the main thread reads them. */
static int start_thread(struct reload *reload)
{
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&reload->thread, NULL, run, reload);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        reload->has_thread = true;
        (void)pthread_setname_np(reload->thread, "selectd-reload");
        return 0;
}

static void reload_freep(struct reload **reload)
{
        reload_free(*reload);
}

int reload_new(struct loop *loop, const char *path, void (*on_done)(void *arg), void *arg,
               struct reload **out)
{
        _cleanup_(reload_freep) struct reload *reload = calloc(1, sizeof(*reload));
        int r;

        if (!reload)
                return -ENOMEM;
        reload->loop = loop;
        reload->on_done = on_done;
        reload->arg = arg;
        reload->done.run = on_task;
        reload->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (reload->cancel_fd < 0)
                return -errno;
        reload->path = strdup(path);
        if (!reload->path)
                return -ENOMEM;
        r = start_thread(reload);
        if (r < 0)
                return r;
        *out = reload;
        reload = NULL;
        return 0;
}

int reload_result(struct reload *reload, struct config **config, char *why)
{
        if (reload->error < 0) {
                (void)snprintf(why, RELOAD_WHY_SIZE, "%s", reload->why);
                return reload->error;
        }
        *config = reload->config;
        reload->config = NULL;
        return 0;
}

void reload_cancel(struct reload *reload)
{
        atomic_store(&reload->cancelled, true);
        (void)eventfd_write(reload->cancel_fd, 1);
}

struct reload *reload_free(struct reload *reload)
{
        if (!reload)
                return NULL;
        if (reload->has_thread) {
                reload_cancel(reload);
                (void)pthread_join(reload->thread, NULL);
        }
        closep(&reload->cancel_fd);
        config_unref(reload->config);
        free(reload->path);
        free(reload);
        return NULL;
}
