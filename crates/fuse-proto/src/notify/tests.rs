//! Good notifications, and all the ways in which one can be wrong (HD-FS-43).
