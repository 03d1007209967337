//! Who calls, over real sockets: certificates that are replaced, missing, expired or a stranger's;
//! plaintext; sidecars; service tokens.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod plaintext;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tokens;
