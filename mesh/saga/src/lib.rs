//! mesh-saga
