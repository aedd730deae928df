/*
 * Who may come in: counts whom the limit keeps out, and says so in one line for many.
 *
 * Thread: main.
 */
#pragma once

#include "loop.h"

struct gate;

/**
 * gate_new() - a gate with no limit
 * Return: 0; -ENOMEM.
 */
_must_use_ int gate_new(struct loop *loop, struct gate **out);

/**
 * gate_free() - free a gate; gate_report() first, if anyone should hear of the last ones
 * Return: NULL.
 */
struct gate *gate_free(struct gate *gate);

/* At most @limit connections. @set_by: by what, to be told; a literal. */
void gate_set_limit(struct gate *gate, size_t limit, const char *set_by);

/* Whether one more may come in beside @count; one who may not is counted. */
bool gate_admits(struct gate *gate, size_t count);

/* Counts one who was turned away for another reason; a literal. */
void gate_refuse(struct gate *gate, const char *reason);

/* Logs now how many were turned away since the last time, if any were. */
void gate_report(struct gate *gate);
