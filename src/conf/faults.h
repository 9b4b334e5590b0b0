/*
 * Collecting faults. The room is made once, with one text in reserve, so that a fault can also be
 * noted when memory has run out. After FAULTS_MAX the rest is only counted.
 */
#ifndef CROSSFADE_CONF_FAULTS_H
#define CROSSFADE_CONF_FAULTS_H

#include "crossfade/conf/load.h"

#include "tree.h"

#define FAULTS_MAX 100u

/* False without memory. */
bool faults_begin(struct config_faults *faults);
void faults_add(struct config_faults *faults, struct position at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void faults_no_memory(struct config_faults *faults);
/* In the order of the file; a last line when there were more. */
void faults_end(struct config_faults *faults);

#endif
