/* Included last by every .def. No guard. */
#undef MACHINE
#undef STATE
#undef EVENT
#undef ACTION
#undef ROW
#undef NEVER
