/* SPDX-License-Identifier: MIT */
/* The loader's thread runs the trial, reads the file, and posts the result to the loop. */
#include "loader.h"
#include "mistake.h"
#include "trial.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>

struct loader {
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
        char why[LOADER_WHY_SIZE];
};

_Static_assert(LOADER_WHY_SIZE >= TRIAL_WHY_SIZE, "load() has one buffer for both");

static void on_mistake(void *arg, const char *file, unsigned line, const char *text)
{
        struct loader *loader = arg;

        if (!atomic_load(&loader->cancelled))
                mistake_log(NULL, file, line, text);
}

static void on_task(struct loop_task *task)
{
        struct loader *loader = container_of(task, struct loader, done);

        loader->on_done(loader->arg);
}

static int load(struct loader *loader)
{
        int r = trial_run(loader->path, loader->cancel_fd, loader->why);

        if (r == 0 && atomic_load(&loader->cancelled))
                r = -ECANCELED;
        if (r == 0)
                r = config_load(loader->path, on_mistake, loader, &loader->config);
        if (r == -EINVAL)
                (void)snprintf(loader->why, sizeof(loader->why), "the file has mistakes");
        else if (r < 0 && r != -ENOEXEC)
                (void)snprintf(loader->why, sizeof(loader->why), "%s", strerrordesc_np(-r));
        return r;
}

static void *run(void *arg)
{
        struct loader *loader = arg;

        loader->error = load(loader);
        loop_post(loader->loop, &loader->done);
        return NULL;
}

/* The thread blocks all signals, because the main thread reads them. */
static int start_thread(struct loader *loader)
{
        sigset_t all, before;
        int r;

        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before);
        r = -pthread_create(&loader->thread, NULL, run, loader);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (r < 0)
                return r;
        loader->has_thread = true;
        (void)pthread_setname_np(loader->thread, "selectd-loader");
        return 0;
}

static void loader_freep(struct loader **loader)
{
        loader_free(*loader);
}

int loader_new(struct loop *loop, const char *path, void (*on_done)(void *arg), void *arg,
               struct loader **out)
{
        _cleanup_(loader_freep) struct loader *loader = calloc(1, sizeof(*loader));
        int r;

        if (!loader)
                return -ENOMEM;
        loader->loop = loop;
        loader->on_done = on_done;
        loader->arg = arg;
        loader->done.run = on_task;
        loader->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (loader->cancel_fd < 0)
                return -errno;
        loader->path = strdup(path);
        if (!loader->path)
                return -ENOMEM;
        r = start_thread(loader);
        if (r < 0)
                return r;
        *out = loader;
        loader = NULL;
        return 0;
}

int loader_result(struct loader *loader, struct config **config, char *why)
{
        if (loader->error < 0) {
                (void)snprintf(why, LOADER_WHY_SIZE, "%s", loader->why);
                return loader->error;
        }
        *config = loader->config;
        loader->config = NULL;
        return 0;
}

void loader_cancel(struct loader *loader)
{
        atomic_store(&loader->cancelled, true);
        (void)eventfd_write(loader->cancel_fd, 1);
}

struct loader *loader_free(struct loader *loader)
{
        if (!loader)
                return NULL;
        if (loader->has_thread) {
                loader_cancel(loader);
                (void)pthread_join(loader->thread, NULL);
        }
        closep(&loader->cancel_fd);
        config_unref(loader->config);
        free(loader->path);
        free(loader);
        return NULL;
}
