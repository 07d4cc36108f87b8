//! Where all that a collector is told comes from: the service, the host and the program.
//! Does not know what is told.

use super::message::{KeyValue, ResourceMessage, ScopeMessage};
use super::settings::OtlpSettings;

/// The conventions that the attributes follow.
pub(super) const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

/// The service and the host.
pub(super) fn resource(settings: &OtlpSettings, host: &str) -> ResourceMessage {
    let own = [
        ("service.name", settings.service.as_str()),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("host.name", host),
    ];
    // What the operator says goes before what the host would say.
    let said = settings.resource.iter();
    let mut attributes: Vec<KeyValue> =
        said.map(|(name, value)| KeyValue::string(name, value.as_str())).collect();
    let is_said = |name: &str| settings.resource.iter().any(|(said, _)| said == name);
    let own = own.into_iter().filter(|(name, _)| !is_said(name));
    attributes.extend(own.map(|(name, value)| KeyValue::string(name, value)));
    ResourceMessage { attributes }
}

/// The program.
pub(super) fn scope() -> ScopeMessage {
    let (name, version) = ("steerage".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
    ScopeMessage { name, version }
}
