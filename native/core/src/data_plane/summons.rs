//! When a thread of the plane has JavaScript come: not at the first request it reads, but when it has
//! looked at everything that was ready with it. Requests that came together share a call, and a
//! call costs more than reading a request.

use std::cell::RefCell;
use std::rc::Rc;

use tokio::sync::Notify;

thread_local! {
    static HERE: RefCell<Option<Rc<Notify>>> = const { RefCell::new(None) };
}

/// Makes this a thread that summons later; what it returns is notified when somebody is to be
/// summoned, and its waiter runs behind all tasks that are ready by then.
pub fn install() -> Rc<Notify> {
    let notify = Rc::new(Notify::new());
    HERE.with_borrow_mut(|here| *here = Some(Rc::clone(&notify)));
    notify
}

/// Sees to it that somebody is summoned soon; false on a thread that cannot wait.
pub fn later() -> bool {
    HERE.with_borrow(|here| {
        if let Some(notify) = here {
            notify.notify_one();
        }
        here.is_some()
    })
}
