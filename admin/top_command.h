/* `holdfast top`: what the broker does now, again and again. */
#ifndef ADMIN_TOP_COMMAND_H
#define ADMIN_TOP_COMMAND_H

int top_command(int argc, char **argv);

#endif
