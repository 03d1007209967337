//! mesh-events
