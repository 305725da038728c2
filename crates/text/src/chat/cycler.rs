//! Jinja2's `cycler`, with all of its parts: `minijinja-contrib` has only `next`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Object, ObjectRepr, Rest, from_args};
use minijinja::{Environment, Error, ErrorKind, State, Value};

/// Adds it.
pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_function("cycler", |items: Rest<Value>| {
        if items.is_empty() {
            let text = "cycler: at least one value is needed";
            return Err(Error::new(ErrorKind::InvalidOperation, text));
        }
        Ok(Value::from_object(Cycler { items: items.0, place: AtomicUsize::new(0) }))
    });
}

#[derive(Debug)]
struct Cycler {
    items: Vec<Value>,
    /// Of the current item.
    place: AtomicUsize,
}

impl Cycler {
    fn current(&self) -> Value {
        self.items[self.place.load(Ordering::Relaxed)].clone()
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str() == Some("current")).then(|| self.current())
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        from_args::<()>(args)?;
        match method {
            "next" => {
                let current = self.current();
                let next = (self.place.load(Ordering::Relaxed) + 1) % self.items.len();
                self.place.store(next, Ordering::Relaxed);
                Ok(current)
            }
            "reset" => {
                self.place.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}
