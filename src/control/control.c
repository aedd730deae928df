/* SPDX-License-Identifier: MIT */
#include "control.h"
#include "changes.h"
#include "escape.h"
#include "listener.h"
#include "routes.h"

#include <errno.h>
#include <string.h>

/* A request must arrive, and its answer must be taken, within this time. */
#define REQUEST_USEC (30 * USEC_PER_SEC)

#define BACKLOG 128

/* The file of a unix socket, to be removed at the end. */
struct control_socket {
        struct control_socket *next;
        struct address address;
        struct socket_file file;
};

static void on_request(void *arg, struct http_request *request)
{
        routes_serve(arg, request);
}

int control_new(struct loop *loop, const struct control_target *target, void *arg,
                struct control **out)
{
        struct control *control = calloc(1, sizeof(*control));
        int r;

        if (!control)
                return -ENOMEM;
        r = lookups_init(&control->lookups, loop);
        if (r < 0) {
                free(control);
                return r;
        }
        r = http_new(loop, REQUEST_USEC, on_request, control, &control->http);
        if (r < 0) {
                lookups_deinit(&control->lookups);
                free(control);
                return r;
        }
        control->loop = loop;
        control->target = target;
        control->target_arg = arg;
        STAILQ_INIT(&control->changes);
        STAILQ_INIT(&control->looking_up);
        *out = control;
        return 0;
}

struct control *control_free(struct control *control)
{
        struct control_socket *file;

        if (!control)
                return NULL;
        change_forget_all(control);
        lookups_deinit(&control->lookups);
        http_free(control->http);
        while ((file = control->sockets)) {
                control->sockets = file->next;
                socket_file_remove(&file->file, &file->address);
                free(file);
        }
        managed_set_deinit(&control->managed);
        free(control);
        return NULL;
}

/* Records the file of a unix socket. Return: 0; -ENOMEM. */
static int note_file(struct control *control, const struct address *address)
{
        struct control_socket *file = malloc(sizeof(*file));

        if (!file)
                return -ENOMEM;
        file->address = *address;
        if (socket_file_of(address, &file->file) < 0) {
                free(file); /* the file has been removed already */
                return 0;
        }
        file->next = control->sockets;
        control->sockets = file;
        return 0;
}

int control_listen(struct control *control, const struct address *address,
                   const struct socket_access *access, struct address *bound)
{
        _cleanup_(closep) int fd = -1;
        struct address found;
        int r = listener_bind(address, access, BACKLOG, false, &fd);

        if (r == 0)
                r = address_of_socket(fd, &found);
        if (r == 0 && address->sa.sa_family == AF_UNIX)
                r = note_file(control, address);
        if (r == 0)
                r = http_listen(control->http, fd);
        if (r < 0)
                return r;
        fd = -1;
        *bound = found;
        return 0;
}

void control_applied(struct control *control)
{
        change_continue(control);
}

int control_keep(const struct control *control, struct config *file, struct config **out)
{
        return managed_set_merge(&control->managed, file, control_config(control), out);
}

/* Reads a file whole. Return: 0; -ENOMEM; what open(2) or read(2) fails with. */
static int read_file(const char *path, char **text, size_t *n)
{
        _cleanup_(fclosep) FILE *file = fopen(path, "re");
        _cleanup_(freep) char *all = NULL;
        size_t size = 0;
        ssize_t length;

        if (!file)
                return -errno;
        errno = 0;
        length = getdelim(&all, &size, '\0', file);
        if (length < 0 && !feof(file))
                return errno ? -errno : -EIO;
        *text = all;
        all = NULL;
        *n = length < 0 ? 0 : (size_t)length;
        return 0;
}

int control_load(struct control *control, const char *path, struct config *config,
                 struct config **out, char *why)
{
        _cleanup_(freep) char *text = NULL;
        char shown[ESCAPE_PATH_SIZE];
        struct refusal refusal;
        json_t *array = NULL;
        size_t n = 0;
        int r = read_file(path, &text, &n);

        if (r < 0)
                (void)refuse(&refusal, 500, "%s", strerrordesc_np(-r));
        else
                r = json_parse(text ? text : "", n, &array, &refusal);
        if (r == 0)
                r = populate_config(control, array, config, out, &refusal);
        json_decref(array);
        if (r < 0)
                (void)snprintf(why, CONTROL_WHY_SIZE, "%.256s: %.600s", escape_path(path, shown),
                               refusal.words);
        return r;
}
