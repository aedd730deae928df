/* SPDX-License-Identifier: MIT */
/*
 * Changes that clients ask for. They are made one after the other. A change consists of steps, each
 * of which makes, changes or removes one service, and waits until that is in force for every
 * connection.
 *
 * Thread: main.
 */
#pragma once

#include "control_target.h"
#include "http.h"
#include "json.h"
#include "managed_set.h"
#include "path.h"
#include <sys/queue.h>

struct change;

STAILQ_HEAD(change_queue, change);

struct control {
        struct loop *loop;
        const struct control_target *target;
        void *target_arg;
        struct http *http;
        struct managed_set managed;
        uint64_t last_version; /* of a toxic's group */
        struct change_queue changes;
        struct change *current; /* is being made */
        struct control_socket *sockets;
};

/* What one service is to become. */
struct goal {
        struct managed *want; /* a reference; NULL: the service is removed */
        char *service;        /* its name */
        bool restart;         /* first the service is disabled, which ends its connections */
};

/* What a kind of change consists of. */
struct change_kind {
        /* Reads the request. Return: 0 or more; -EINVAL: refused. */
        int (*begin)(struct change *change, struct refusal *refusal);
        /* Sets change->goal. Return: 1; 0: there is nothing left to do; -EINVAL: refused. */
        int (*next)(struct change *change, struct refusal *refusal);
        /* Answers the request. @refusal: NULL: the change has been made. */
        void (*answer)(struct change *change, const struct refusal *refusal);
};

enum change_state {
        CHANGE_NEXT,     /* the next goal is to be set */
        CHANGE_STOPPED,  /* the service is ready to become what is wanted */
        CHANGE_STARTED,  /* it has become that */
        CHANGE_FALLBACK, /* it can't listen, and has been disabled */
};

struct change {
        STAILQ_ENTRY(change) others;
        struct control *control;
        const struct change_kind *kind;
        struct http_request *request;
        struct path path;
        enum change_state state;
        struct goal goal;
        struct refusal refusal; /* in CHANGE_FALLBACK */
        /* For the kinds: */
        json_t *body;
        size_t i;            /* the number of the next step */
        struct toxic *toxic; /* that was added or changed; a reference */
        char **names;        /* of services */
        size_t n;
        json_t *done; /* what was made, as JSON */
};

/**
 * change_ask() - make a change, after those that were asked for before
 * @path: consumed on success
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int change_ask(struct control *control, const struct change_kind *kind,
                          struct http_request *request, struct path *path);

/* Goes on: what was applied last is in force. */
void change_continue(struct control *control);

/* Forgets all changes without an answer. */
void change_forget_all(struct control *control);

/* Sets change->goal, from change_kind.begin or change_kind.next. Return: 1; -EINVAL: refused. */
int change_want(struct change *change, struct managed *want, bool restart, struct refusal *refusal);

/* A change_kind.next for the one goal, if there is any, that change_kind.begin has set. */
int change_next_once(struct change *change, struct refusal *refusal);

/* As managed_copy(); a port that the system chose is kept. Return: 0; -ENOMEM. */
_must_use_ int control_copy(const struct control *control, struct managed *from,
                            const struct toxic_list *toxics, struct managed **out);

/* The address where a service in force listens, or is to listen while it is disabled. */
struct address control_listen_address(const struct control *control, struct managed *managed);
