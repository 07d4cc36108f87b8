//! stub
#![allow(missing_docs, clippy::todo)]
use std::path::Path;
use std::sync::Arc;
use steerage_core::id::HostName;
#[derive(Debug)]
pub struct Identity;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct IdentityError;
impl Identity {
    pub fn load(_: &Path) -> Result<Self, IdentityError> {
        todo!()
    }
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        todo!()
    }
    pub fn client(&self) -> Arc<rustls::ClientConfig> {
        todo!()
    }
    pub fn name(&self) -> &HostName {
        todo!()
    }
}
