//! The function of a component that answers requests of `wasi:http` 0.2.
//! Does not make what it is called with.

use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Resource, TypedFunc};
use wasmtime::{AsContextMut, Store};

use super::request::IncomingRequest;
use crate::call::ResponseSender;

/// The interface it is exported with; a component may name any version of 0.2.
const INTERFACE: &str = "wasi:http/incoming-handler@0.2.12";

/// A linked component that has such a function.
pub(in crate::sandbox) struct HandlerPre<T: 'static> {
    pre: InstancePre<T>,
    function: ComponentExportIndex,
}

/// That function of one instance.
pub(in crate::sandbox) struct Handler(TypedFunc<Asked, ()>);

type Asked = (Resource<IncomingRequest>, Resource<ResponseSender>);

impl<T: Send + 'static> HandlerPre<T> {
    /// Finds the function.
    ///
    /// # Errors
    /// There is none.
    pub(in crate::sandbox) fn new(pre: InstancePre<T>) -> wasmtime::Result<Self> {
        let component = pre.component();
        let interface = component.get_export_index(None, INTERFACE);
        let function = interface
            .and_then(|interface| component.get_export_index(Some(&interface), "handle"))
            .ok_or_else(|| wasmtime::Error::msg(format!("no export `{INTERFACE}` has `handle`")))?;
        Ok(Self { pre, function })
    }

    /// What its instances are made of.
    pub(in crate::sandbox) fn instance_pre(&self) -> &InstancePre<T> {
        &self.pre
    }

    /// Makes an instance; returns its function.
    ///
    /// # Errors
    /// It cannot be made, or the function has another type.
    pub(in crate::sandbox) async fn instantiate(
        &self,
        store: &mut Store<T>,
    ) -> wasmtime::Result<Handler> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        self.of(store, &instance)
    }

    /// The function of an instance that was made of this.
    ///
    /// # Errors
    /// It has another type.
    pub(in crate::sandbox) fn of(
        &self,
        store: &mut Store<T>,
        instance: &Instance,
    ) -> wasmtime::Result<Handler> {
        instance.get_typed_func(store.as_context_mut(), self.function).map(Handler)
    }
}

impl Handler {
    /// Has the guest answer a request.
    ///
    /// # Errors
    /// A trap, or a failure of a host function.
    pub(in crate::sandbox) async fn handle<T: Send + 'static>(
        &self,
        store: &mut Store<T>,
        request: Resource<IncomingRequest>,
        out: Resource<ResponseSender>,
    ) -> wasmtime::Result<()> {
        self.0.call_async(store, (request, out)).await
    }
}
