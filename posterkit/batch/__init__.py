"""Job rows to poster files: reading, planning, drawing, composing, keeping account."""
