//! Loads a model as a session of ONNX Runtime, checks it against its manifest, keeps idle sessions for the next recording, and lets
//! several streams of one process share a session.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::provider::{Device, Provider};
use super::runtime::environment;
use super::{Environment, Session, SessionInputValue, TensorRef, ports};
use crate::models::{Manifest, ModelError, Pool};

/// Idle sessions, the one used last at the end.
static IDLE: Mutex<IdleSession> = Mutex::new(IdleSession {
    most: 0,
    sessions: Vec::new(),
});

/// Sessions in use, for others to share; `None` where nobody shares.
static SHARED: Mutex<Option<Vec<InUse>>> = Mutex::new(None);

/// A session in use, for as long as it is.
type InUse = (Key, Weak<Mutex<Ready>>);

struct IdleSession {
    most: usize,
    sessions: Vec<Ready>,
}

/// What identifies a session.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    file: PathBuf,
    sha256: String,
    threads: usize,
    device: Device,
    /// The value of [`spare_memory`] at that time.
    spare: bool,
    /// Input and output, checked when the session was made.
    ends: (String, String, usize),
}

/// Keeps up to `most` idle sessions for the next load of the same model; 0, the default, keeps none. For programs that play one recording
/// after another.
pub fn keep_sessions(most: usize) {
    let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    idle.most = most;
    let over = idle.sessions.len().saturating_sub(most);
    idle.sessions.drain(..over);
}

/// From now on, whoever loads a model that is in use runs it in the same session, one at a time: its weights and its working memory
/// are there once. For programs that play many streams at once.
pub fn share_sessions() {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.get_or_insert_default();
}

/// The names of a model's inputs.
fn inputs(manifest: &Manifest) -> String {
    let pathways = manifest.pathways().into_iter();
    let names: Vec<String> = pathways.map(|pathway| pathway.name).collect();
    names.join(" ")
}

/// See [`spare_memory`].
static SPARE: AtomicBool = AtomicBool::new(false);

/// Whether models loaded from now on free their working memory after every run. At 448 pixels that takes a third more time and saves 15 to
/// 30 MB.
pub fn spare_memory(yes: bool) {
    SPARE.store(yes, Ordering::Relaxed);
}

/// A session that can run.
pub(super) struct Ready {
    key: Key,
    pub(super) session: Session,
    /// Why it runs on the CPU, if another device was requested.
    instead: Option<String>,
    /// How many items it takes at once, if fixed.
    batch: Option<usize>,
}

/// A session in use, alone or together; when the last lease is dropped, it is idle.
pub(super) struct Lease(Option<Arc<Mutex<Ready>>>);

impl Lease {
    /// An idle session, if there is one.
    fn idle(key: &Key) -> Option<Self> {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let at = idle.sessions.iter().position(|ready| ready.key == *key)?;
        Some(Self::new(idle.sessions.remove(at)))
    }

    fn new(ready: Ready) -> Self {
        Self(Some(Arc::new(Mutex::new(ready))))
    }

    /// The session, once nobody else runs it; missing only during a drop.
    pub(super) fn lock(&self, name: &str) -> Result<MutexGuard<'_, Ready>, ModelError> {
        let ready = self.get();
        ready.ok_or_else(|| ModelError::Run {
            name: name.into(),
            message: "its session is gone".into(),
        })
    }

    fn get(&self) -> Option<MutexGuard<'_, Ready>> {
        let ready = self.0.as_ref()?;
        Some(ready.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = self.0.take().and_then(Arc::into_inner);
        let ready = ready.map(|ready| ready.into_inner().unwrap_or_else(PoisonError::into_inner));
        if let Some(ready) = ready.filter(|_| idle.most > 0) {
            if idle.sessions.len() >= idle.most {
                idle.sessions.remove(0);
            }
            idle.sessions.push(ready);
        }
    }
}

/// What an input gets: row-major, items first.
pub(super) struct Feed<'a> {
    pub(super) name: String,
    pub(super) shape: Vec<usize>,
    pub(super) data: &'a [f32],
}

/// A session whose input and output are those of the manifest.
pub(super) struct Model {
    pub(super) lease: Lease,
    pub(super) manifest: Manifest,
}

impl Model {
    pub(super) fn new(
        manifest: Manifest,
        threads: usize,
        device: Device,
    ) -> Result<Self, ModelError> {
        let (environment, _) = environment(Some(&manifest.path))?;
        let file = manifest.onnx_path();
        let key = Key {
            file: file.clone(),
            sha256: manifest.sha256.clone(),
            threads: threads.max(1),
            device,
            spare: SPARE.load(Ordering::Relaxed),
            ends: (
                inputs(&manifest),
                manifest.output.name.clone(),
                manifest.output.dim,
            ),
        };
        // Held until the session is there, so that two don't load it at once.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let sharing = shared.as_mut();
        let in_use = sharing.and_then(|all| {
            all.retain(|(_, ready)| ready.strong_count() > 0);
            let own = all.iter().find(|(other, _)| *other == key);
            own.and_then(|(_, ready)| ready.upgrade())
        });
        if let Some(lease) = in_use.map(|ready| Lease(Some(ready))) {
            return Ok(Self { lease, manifest });
        }
        let mut offer = |lease: &Lease, key: Key| {
            if let Some((all, ready)) = shared.as_mut().zip(lease.0.as_ref()) {
                all.push((key, Arc::downgrade(ready)));
            }
        };
        if let Some(lease) = Lease::idle(&key) {
            offer(&lease, key);
            return Ok(Self { lease, manifest });
        }
        let load = |err: String| ModelError::Load {
            name: manifest.name.clone(),
            message: err,
        };
        let begin = |device: Device| open(&environment, &file, threads, device, key.spare);
        let (session, instead) = match begin(device) {
            Err(why) if device.provider != Provider::Cpu => (begin(Device::default()), Some(why)),
            opened => (opened, None),
        };
        let session = session.map_err(load)?;
        let ports = ports::of(&session);
        let problems = ports::mismatches(&manifest, &ports);
        if !problems.is_empty() {
            return Err(load(format!(
                "it differs from {}: {}",
                manifest.path.display(),
                problems.join("; ")
            )));
        }
        let batch = ports::fixed_batch(&manifest, &ports);
        let lease = Lease::new(Ready {
            key: key.clone(),
            session,
            instead,
            batch,
        });
        offer(&lease, key);
        Ok(Self { lease, manifest })
    }

    /// The device that runs it.
    pub(super) fn device(&self) -> Device {
        match self.lease.get() {
            Some(ready) if ready.instead.is_none() => ready.key.device,
            _ => Device::default(),
        }
    }

    /// Why the CPU runs it, if another device was requested.
    pub(super) fn instead(&self) -> Option<String> {
        self.lease.get()?.instead.clone()
    }

    /// How many items it takes at once, if fixed.
    pub(super) fn fixed_batch(&self) -> Option<usize> {
        self.lease.get()?.batch
    }

    /// Runs `n` items and passes the `[n, dim]` output to `take`. A model with a fixed batch runs as often as needed; the last run is padded
    /// with zeros.
    pub(super) fn run<T>(
        &mut self,
        shape: &[usize],
        data: &[f32],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let feed = Feed {
            name: self.manifest.input.name.clone(),
            shape: shape.to_vec(),
            data,
        };
        self.run_all(&[feed], take)
    }

    /// As [`Self::run`], for a model of several inputs; each has as many items.
    pub(super) fn run_all<T>(
        &mut self,
        feeds: &[Feed<'_>],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let first = feeds.first().and_then(|feed| feed.shape.first());
        let n = first.copied().unwrap_or(0);
        let Some(batch) = self.fixed_batch().filter(|batch| *batch != n && n > 0) else {
            return self.run_once(feeds, take);
        };
        let (mut all, dim) = (Vec::new(), self.manifest.output.dim);
        for at in (0..n).step_by(batch) {
            let some = (n - at).min(batch);
            let padded: Vec<Vec<f32>> = feeds
                .iter()
                .map(|feed| {
                    let one = feed.data.len() / n;
                    let mut padded = feed.data[at * one..(at + some) * one].to_vec();
                    padded.resize(batch * one, 0.0);
                    padded
                })
                .collect();
            let part: Vec<Feed<'_>> = feeds
                .iter()
                .zip(&padded)
                .map(|(feed, data)| {
                    let mut shape = feed.shape.clone();
                    shape[0] = batch;
                    let name = feed.name.clone();
                    Feed { name, shape, data }
                })
                .collect();
            let wanted = some * dim;
            self.run_once(&part, |numbers| {
                all.extend_from_slice(&numbers[..wanted.min(numbers.len())]);
            })?;
        }
        Ok(take(&all))
    }

    /// Runs as many items as there are.
    fn run_once<T>(
        &mut self,
        feeds: &[Feed<'_>],
        take: impl FnOnce(&[f32]) -> T,
    ) -> Result<T, ModelError> {
        let name = &self.manifest.name;
        let fail = |message: String| ModelError::Run {
            name: name.clone(),
            message,
        };
        let first = feeds.first().and_then(|feed| feed.shape.first());
        let n = first.copied().unwrap_or(0);
        let wanted = n * self.manifest.output.dim;
        let mut inputs: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let tensor = TensorRef::from_array_view((feed.shape.clone(), feed.data))
                .map_err(|err| fail(err.to_string()))?;
            inputs.push((&feed.name, tensor.into()));
        }
        let mut ready = self.lease.lock(name)?;
        let outputs = (ready.session.run(inputs)).map_err(|err| fail(err.to_string()))?;
        let (shape, numbers) = outputs[self.manifest.output.name.as_str()]
            .try_extract_tensor::<f32>()
            .map_err(|err| fail(err.to_string()))?;
        if let Some(pool) = self.manifest.output.pool
            && n > 0
            && shape.len() == 3
            && usize::try_from(shape[2]) == Ok(self.manifest.output.dim)
            && numbers.len() >= wanted
        {
            return Ok(take(&pooled(pool, numbers, n, self.manifest.output.dim)));
        }
        if numbers.len() != wanted {
            return Err(fail(format!(
                "its output has shape {shape:?}, but must have {wanted} numbers (output.dim is {})",
                self.manifest.output.dim
            )));
        }
        Ok(take(numbers))
    }
}

/// One vector for each of `n` items, of those of their tokens.
fn pooled(pool: Pool, numbers: &[f32], n: usize, dim: usize) -> Vec<f32> {
    let mut all = Vec::with_capacity(n * dim);
    for item in numbers.chunks_exact(numbers.len() / n) {
        match pool {
            Pool::First => all.extend_from_slice(&item[..dim]),
            Pool::Mean => {
                let tokens = (item.len() / dim) as f32;
                let sum = |k: usize| item[k..].iter().step_by(dim).sum::<f32>();
                all.extend((0..dim).map(|k| sum(k) / tokens));
            }
        }
    }
    all
}

/// Opens a session on a device.
pub(super) fn open(
    environment: &Environment,
    file: &Path,
    threads: usize,
    device: Device,
    spare: bool,
) -> Result<Session, String> {
    let provider = device.execution_provider(spare)?;
    // Spinning threads would take cores from the decoder. The arena keeps the memory of the largest batch, which is bounded; without it every
    // batch faults its pages in again, which takes a third more time at 448 px and only pays if memory is short.
    Session::builder(environment)
        .and_then(|builder| Ok(builder.with_intra_threads(threads.max(1))?))
        .and_then(|builder| Ok(builder.with_inter_threads(1)?))
        .and_then(|builder| Ok(builder.with_intra_op_spinning(false)?))
        .and_then(|builder| Ok(builder.with_memory_pattern(false)?))
        .and_then(|builder| Ok(builder.with_execution_providers([provider])?))
        .and_then(|mut builder| builder.commit_from_file(file))
        .map_err(|err| err.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::find;

    #[test]
    fn tokens_are_pooled_for_each_item() {
        // Two items of three tokens of two numbers.
        let numbers = [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, -1.0, 0.0, 1.0, 3.0, 3.0, 3.0];
        assert_eq!(pooled(Pool::First, &numbers, 2, 2), [1.0, 2.0, -1.0, 0.0]);
        assert_eq!(pooled(Pool::Mean, &numbers, 2, 2), [3.0, 5.0, 1.0, 2.0]);
    }

    #[test]
    fn those_that_share_run_in_one_session_and_get_what_they_asked_for() {
        let name = "efficientnet-lite0";
        let Some(manifest) = find(name).ok().filter(|model| model.onnx_path().exists()) else {
            eprintln!("skipped: {name} is not installed; `make setup` does");
            return;
        };
        let load = || Model::new(manifest.clone(), 1, Device::default()).unwrap();
        let place = |model: &Model| model.lease.0.as_ref().map(Arc::as_ptr);
        let run = |model: &mut Model, light: f32| {
            let grey = vec![light; 3 * 112 * 112];
            let shape = [1, 3, 112, 112];
            model.run(&shape, &grey, <[f32]>::to_vec).unwrap()
        };
        let (mut alone, other) = (load(), load());
        assert_ne!(place(&alone), place(&other));
        let expected = [0.1, 0.9].map(|light| run(&mut alone, light));
        assert_ne!(expected[0], expected[1]);
        share_sessions();
        let mut both = [load(), load()];
        assert_eq!(place(&both[0]), place(&both[1]));
        std::thread::scope(|scope| {
            for ((model, light), expected) in both.iter_mut().zip([0.1, 0.9]).zip(&expected) {
                scope.spawn(move || {
                    for _ in 0..3 {
                        assert_eq!(run(model, light), *expected);
                    }
                });
            }
        });
        drop(both);
        let again = load();
        assert!(place(&again).is_some());
    }
}
