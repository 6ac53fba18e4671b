//! The room from its doors.
