//! mesh-local
