//! mesh-rpc
