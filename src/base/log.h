/* SPDX-License-Identifier: MIT */
/*
 * What selectd says, to the journal or to standard error, in the same words.
 *
 * A line is of one of the kinds below. Each kind has its level and its MESSAGE_ID, which
 * systemd/selectd.catalog explains. The layers from stream down never log: they return errors, and
 * whoever handles one logs it once.
 *
 * The level, and where lines go, are the process's. Thread: any may write, the main thread sets.
 */
#pragma once

#include "util.h"
#include <stdbool.h>
#include <stdint.h>

/* Levels, with the numbers of syslog(3): a lower one matters more. */
enum log_level {
        LOG_LEVEL_ERROR = 3,
        LOG_LEVEL_WARNING = 4,
        LOG_LEVEL_NOTICE = 5,
        LOG_LEVEL_INFO = 6,
        LOG_LEVEL_DEBUG = 7,
};

/* Kinds of events. */
enum log_kind {
        LOG_LISTENING,
        LOG_NOT_LISTENING,
        LOG_PASSED_DIFFERS,
        LOG_READY,
        LOG_WAITING,
        LOG_CONNECTED,
        LOG_RECEIVED,
        LOG_SENDING,
        LOG_QUEUE_EMPTY,
        LOG_EXCEPTION,
        LOG_UPSTREAM_REACHED,
        LOG_UPSTREAM_FAILED,
        LOG_UPSTREAM_DOWN,
        LOG_CLOSED,
        LOG_IDLE_EXIT,
        LOG_TURNED_AWAY,
        LOG_ACCEPT_PAUSED,
        LOG_RELOADED,
        LOG_RELOAD_FAILED,
        LOG_RESTART_NEEDED,
        LOG_STOPPING,
        LOG_STOPPED,
        LOG_STUCK,
        LOG_CONFIG_INVALID,
        LOG_CONFIG_PRIVATE,
        LOG_START_FAILED,
        LOG_LOST,
        LOG_NOTIFY_FAILED,
        LOG_LIBRARY,
        LOG_KINDS,
};

/* How a connection went; written when it ends. */
struct log_ending {
        uint64_t bytes_in, bytes_out;
        uint64_t bytes_lost; /* accepted, and not delivered: SELECTD_BYTES_LOST, unless 0 */
        uint64_t duration_usec;
        const char *reason;
        const char *fault; /* what was done to it on purpose: SELECTD_FAULT; NULL: nothing */
};

/* What a line is about: the fields of its journal record. A member left zero is left out. */
struct log_about {
        const char *service; /* SELECTD_SERVICE, and the line begins with it */
        const char *client;  /* SELECTD_CLIENT, likewise */
        uint64_t connection; /* SELECTD_CONNECTION, from 1 */
        const struct log_ending *ending;
        const char *config_file; /* CONFIG_FILE and CONFIG_LINE, as systemd names them */
        unsigned config_line;
};

/**
 * log_init() - find out where lines go
 *
 * To the journal when standard error is its stream (JOURNAL_STREAM of systemd.exec(5)), else to
 * standard error. Without it, lines go to standard error.
 */
void log_init(void);

/**
 * log_never_wait() - from now on no line is waited for
 * @retry_fd: set to a descriptor of the log's, which is readable when log_retry() is to be called
 *
 * Until then log_write() returns when the line has been written: a list of mistakes is written
 * whole, however slowly it is read. From then on a line that cannot be written now waits in a queue
 * of 256 KiB; a line that finds no room there is lost, and how many were lost is said as soon as
 * there is room. Main thread, once, before there are others who write.
 *
 * Return: 0; what timerfd_create(2) fails with.
 */
_must_use_ int log_never_wait(int *retry_fd);

/* Writes the lines that wait, as far as that is possible now. */
void log_retry(void);

/* Lets a slow reader have the lines that wait, for half a second at most: at the end. */
void log_end(void);

/* The least important level that is written; LOG_LEVEL_INFO to begin with. */
void log_set_level(enum log_level level);

/* Whether lines of that kind are written: for callers who would have to prepare one. */
bool log_wants(enum log_kind kind);

/**
 * log_write() - say that something happened
 * @about: what it is about; NULL: the daemon
 *
 * The line is "SERVICE: CLIENT " as far as they are known, then the words. It must hold no bytes
 * from outside that escape_bytes() has not seen. Lines longer than 8 KiB are cut. A line that can't
 * be written is counted; see log_never_wait().
 */
_printf_(3, 4) void log_write(enum log_kind kind, const struct log_about *about, const char *words,
                              ...);
