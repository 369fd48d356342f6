/* SQLite on the simulated disk: becomes its default VFS. */
#ifndef SIM_VFS_H
#define SIM_VFS_H

#include <stdint.h>

void vfs_begin(uint64_t seed);

#endif
