//! Discovery against a real DNS server in this process, real files, and Consul.

#[cfg(test)]
mod agent;
#[cfg(test)]
mod consul_dns;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod files;
#[cfg(test)]
mod registrar;
#[cfg(test)]
mod support;
