/* SPDX-License-Identifier: MIT */
/*
 * Changes that clients request. They are made one after the other. Each step of a change makes,
 * changes or removes one service, and waits until that is in force for every connection.
 *
 * Thread: main.
 */
#pragma once

#include "control_target.h"
#include "http.h"
#include "json.h"
#include "lookup.h"
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
        uint64_t last_version; /* of the group of a toxic */
        struct lookups lookups;
        struct change_queue looking_up; /* changes whose names are being looked up */
        struct change_queue changes;    /* those that wait for the current one */
        struct change *current;         /* the one that is being made */
        struct control_socket *sockets;
};

/* The goal for one service. */
struct goal {
        struct managed *want; /* a reference; NULL: remove the service */
        char *service;        /* its name */
        bool restart;         /* disable the service first, which ends its connections */
};

/* A kind of change. */
struct change_kind {
        bool has_proxies; /* the body is a proxy, or an array of proxies */
        /* Reads the request. Return: 0 or more; -EINVAL: refused. */
        int (*begin)(struct change *change, struct refusal *refusal);
        /* Sets change->goal. Return: 1; 0: the change is complete; -EINVAL: refused. */
        int (*next)(struct change *change, struct refusal *refusal);
        /* Answers the request. @refusal: NULL: the change has been made. */
        void (*answer)(struct change *change, const struct refusal *refusal);
};

enum change_state {
        CHANGE_NEXT,     /* the next goal must be set */
        CHANGE_STOPPED,  /* the service is stopped, and the goal can be applied */
        CHANGE_STARTED,  /* the goal has been applied */
        CHANGE_FALLBACK, /* the service cannot listen, and has been disabled */
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
        struct query *query;    /* NULL: there is none */
        void (*on_looked_up)(struct change *change);
        /* For the kinds: */
        json_t *body;        /* of kinds with proxies: NULL if the request has no legal one */
        size_t i;            /* the number of the next step */
        struct toxic *toxic; /* the one that was added or changed; a reference */
        char **names;        /* names of services */
        size_t n;
        json_t *done; /* the result, as JSON */
};

/**
 * change_ask() - make a change, after those that were asked for before
 * @path: consumed on success
 *
 * Return: 0; -ENOMEM.
 */
_must_use_ int change_ask(struct control *control, const struct change_kind *kind,
                          struct http_request *request, struct path *path);

/* Goes on, because the last configuration is in force. */
void change_continue(struct control *control);

/* Drops all changes without an answer. */
void change_forget_all(struct control *control);

/* Sets change->goal, from change_kind.begin or change_kind.next. Return: 1; -EINVAL: refused. */
int change_want(struct change *change, struct managed *want, bool restart, struct refusal *refusal);

/* A change_kind.next for kinds whose change_kind.begin sets the only goal, if any. */
int change_next_once(struct change *change, struct refusal *refusal);

/* A change_kind.answer without a body. */
void change_answer_nothing(struct change *change, const struct refusal *refusal);

/* Makes change->body an object: that of the request, unless it is set. Return: 0; -EINVAL: refused.
 */
int change_parse_object(struct change *change, struct refusal *refusal);

/* Return: the configuration in force. */
const struct config *control_config(const struct control *control);

/* Like managed_copy(), but keeps a port that the system chose. Return: 0; -ENOMEM. */
_must_use_ int control_copy(const struct control *control, struct managed *from,
                            const struct toxic_list *toxics, struct managed **out);

/* Return: the address at which a service listens, or would listen if it were enabled. */
struct address control_listen_address(const struct control *control, struct managed *managed);
