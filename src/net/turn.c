/* SPDX-License-Identifier: MIT */
#include "turn.h"

void turn_begin(struct turn *turn)
{
        if (!turn->passed_over)
                turn->round++;
        turn->crowded = turn->passed_over;
        turn->passed_over = false;
        turn->left_bytes = TURN_BYTES;
}

void turn_count(struct turn *turn, size_t n)
{
        turn->left_bytes -= n < turn->left_bytes ? n : turn->left_bytes;
}

bool turn_admits(struct turn *turn, uint32_t *round)
{
        if (*round == turn->round)
                return false;
        if (turn->left_bytes == 0) {
                turn->passed_over = true;
                return false;
        }
        *round = turn->round;
        return true;
}

bool turn_has_room(const struct turn *turn)
{
        return !turn->crowded && turn->left_bytes > 0;
}
