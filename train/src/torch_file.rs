//! Reads the tensors of a checkpoint that Python's `torch.save` wrote: both the zip format and the
//! older one of bare pickles. libtorch itself reads neither (only TorchScript archives).
//!
//! Of pickle just what plain state dicts consist of is interpreted; no code is ever run, and objects
//! of other kinds are passed over.

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, HashMap};
use std::io::{Cursor, Read};
use std::path::Path;
use std::rc::Rc;
use tch::{Kind, Tensor};

/// Keys under which checkpoints keep the state dict among other things.
const STATE_DICT_KEYS: [&str; 4] = ["net", "state_dict", "model", "model_state_dict"];

/// The number that the first pickle of the older format holds, little-endian.
const MAGIC_NUMBER: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// The tensors of the state dict in a `.pth` file by name. The state dict is the whole file, or
/// what it has under `net`, `state_dict`, `model` or `model_state_dict`.
pub fn read_torch_file(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read '{}'", path.display()))?;
    tensors(&bytes).with_context(|| format!("'{}' is not a usable torch checkpoint", path.display()))
}

fn tensors(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    if bytes.starts_with(b"PK") {
        return from_zip(bytes);
    }
    from_pickles(bytes)
}

/// The zip format: `NAME/data.pkl`, and a file `NAME/data/KEY` for each storage.
fn from_zip(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes))?;
    let pickle_name = archive
        .file_names()
        .find(|name| name.ends_with("/data.pkl"))
        .context("the archive has no data.pkl: it was not written by torch.save")?
        .to_string();
    let folder = pickle_name.trim_end_matches("data.pkl").to_string();
    let mut member = |name: &str| -> Result<Vec<u8>> {
        let mut contents = Vec::new();
        archive
            .by_name(name)
            .with_context(|| format!("the archive has no '{name}'"))?
            .read_to_end(&mut contents)?;
        Ok(contents)
    };
    let pickle = member(&pickle_name)?;
    let (machine, root) = Machine::run(&mut pickle.as_slice())?;
    let mut storages = HashMap::new();
    machine.state_dict(root, |storage| {
        if !storages.contains_key(&storage.key) {
            let data = member(&format!("{folder}data/{}", storage.key))?;
            storages.insert(storage.key.clone(), storage.tensor(&data)?);
        }
        Ok(storages[&storage.key].shallow_clone())
    })
}

/// The older format: a magic number, a protocol version, a description of the machine, the object
/// and the list of storage keys, each a pickle; then the storages, each its length and its data.
fn from_pickles(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>> {
    // PROTO 2, LONG1 of ten bytes, STOP
    ensure!(
        bytes.len() > 15 && bytes[..2] == [0x80, 2] && bytes[4..14] == MAGIC_NUMBER,
        "its contents are neither a zip archive nor begin with torch's magic number"
    );
    let mut rest = bytes;
    for _ in 0..3 {
        Machine::run(&mut rest)?;
    }
    let (machine, root) = Machine::run(&mut rest)?;
    let (keys_machine, keys) = Machine::run(&mut rest)?;
    let Value::Compound(keys) = keys else { bail!("it has no list of storages") };
    let mut storages = HashMap::new();
    for key in &keys_machine.compounds[keys] {
        let Value::Text(key) = key else { bail!("a storage has no name") };
        let storage = machine.storages.get(&**key).with_context(|| format!("nothing uses storage {key}"))?;
        let length = u64::from_le_bytes(take(&mut rest, 8)?.try_into()?);
        ensure!(length == storage.length, "storage {key} has {length} elements, not {}", storage.length);
        let data = take(&mut rest, storage.bytes()?)?;
        storages.insert(storage.key.clone(), storage.tensor(data)?);
    }
    machine.state_dict(root, |storage| {
        storages
            .get(&storage.key)
            .map(Tensor::shallow_clone)
            .with_context(|| format!("storage {} is missing", storage.key))
    })
}

/// Splits `count` bytes off the front.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8]> {
    let (front, back) = rest.split_at_checked(count).context("it is truncated")?;
    *rest = back;
    Ok(front)
}

/// A run of numbers that tensors are views of.
#[derive(Debug)]
struct Storage {
    key: Rc<str>,
    kind: Kind,
    /// in elements
    length: u64,
}

impl Storage {
    fn bytes(&self) -> Result<usize> {
        let count = usize::try_from(self.length)?.checked_mul(self.kind.elt_size_in_bytes());
        count.context("a storage is too large")
    }

    fn tensor(&self, data: &[u8]) -> Result<Tensor> {
        ensure!(data.len() == self.bytes()?, "storage {} is truncated", self.key);
        Ok(Tensor::f_from_data_size(data, &[self.length as i64], self.kind)?)
    }
}

/// A tensor as it is pickled: a view of a storage.
#[derive(Debug)]
struct View {
    storage: Rc<Storage>,
    offset: i64,
    shape: Vec<i64>,
    strides: Vec<i64>,
}

impl View {
    /// The tensor, its own copy of the numbers, once the view is known to lie within the storage.
    fn tensor(&self, storage: &Tensor) -> Result<Tensor> {
        let ends = self.shape.iter().zip(&self.strides).try_fold(self.offset, |last, (&size, &stride)| {
            let span = (size.max(1) - 1).checked_mul(stride)?;
            (size >= 0 && stride >= 0).then(|| last.checked_add(span))?
        });
        let fits = self.shape.len() == self.strides.len()
            && self.offset >= 0
            && ends.is_some_and(|last| last < self.storage.length.max(1) as i64);
        ensure!(fits, "a tensor reaches beyond its storage {}", self.storage.key);
        if self.shape.contains(&0) {
            return Ok(Tensor::f_zeros(&self.shape, (self.storage.kind, tch::Device::Cpu))?);
        }
        Ok(storage.f_as_strided(&self.shape, &self.strides, self.offset)?.f_contiguous()?.copy())
    }
}

#[derive(Clone, Debug)]
enum Value {
    Mark,
    Int(i64),
    Text(Rc<str>),
    /// The name of a class or function, `module name`.
    Global(Rc<str>),
    /// A tuple, a list or a dict (keys and values in turn): an index into [`Machine::compounds`].
    Compound(usize),
    Storage(Rc<Storage>),
    Tensor(Rc<View>),
    /// None, truth values, floats, and objects of no interest.
    Other,
}

/// The pickle machine. Compounds are kept in one list and named by their index, so that neither
/// cycles nor deep nesting can do harm.
#[derive(Debug, Default)]
struct Machine {
    stack: Vec<Value>,
    memo: HashMap<u32, Value>,
    compounds: Vec<Vec<Value>>,
    storages: HashMap<Rc<str>, Rc<Storage>>,
}

impl Machine {
    /// Runs one pickle from the front of `input`; its object.
    fn run(input: &mut &[u8]) -> Result<(Self, Value)> {
        let mut machine = Self::default();
        while machine.step(input)? {}
        let root = machine.pop()?;
        Ok((machine, root))
    }

    /// One instruction; false at the end.
    fn step(&mut self, input: &mut &[u8]) -> Result<bool> {
        let code = take(input, 1)?[0];
        let mut byte = || Ok::<usize, anyhow::Error>(take(input, 1)?[0].into());
        match code {
            b'.' => return Ok(false),
            0x80 => {
                let protocol = byte()?;
                ensure!(protocol <= 4, "pickle protocol {protocol} is not known");
            }
            0x95 => drop(take(input, 8)?), // FRAME
            b'(' => self.stack.push(Value::Mark),
            b'0' => drop(self.pop()?),
            b'N' | 0x88 | 0x89 => self.stack.push(Value::Other),
            b'K' => {
                let value = byte()? as i64;
                self.stack.push(Value::Int(value));
            }
            b'M' => {
                let value = u16::from_le_bytes(take(input, 2)?.try_into()?);
                self.stack.push(Value::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(take(input, 4)?.try_into()?);
                self.stack.push(Value::Int(value.into()));
            }
            0x8a => {
                let length = byte()?;
                let bytes = take(input, length)?;
                // Only the magic number is longer than 64 bits.
                let negative = bytes.last().is_some_and(|&last| last >= 0x80);
                let mut wide = [if negative { 0xff } else { 0 }; 8];
                let value = if length <= 8 {
                    wide[..length].copy_from_slice(bytes);
                    Value::Int(i64::from_le_bytes(wide))
                } else {
                    Value::Other
                };
                self.stack.push(value);
            }
            b'G' => {
                take(input, 8)?;
                self.stack.push(Value::Other);
            }
            b'X' | b'T' => {
                let length = u32::from_le_bytes(take(input, 4)?.try_into()?);
                self.push_text(take(input, length as usize)?);
            }
            0x8c | b'U' => {
                let length = byte()?;
                self.push_text(take(input, length)?);
            }
            b'c' => {
                let module = line(input)?;
                let name = line(input)?;
                self.stack.push(Value::Global(format!("{module} {name}").into()));
            }
            b')' | b']' | b'}' => self.push_compound(Vec::new()),
            0x85..=0x87 => {
                let start = self.stack.len().checked_sub(usize::from(code - 0x84)).context(BROKEN)?;
                let items = self.stack.split_off(start);
                self.push_compound(items);
            }
            b't' | b'l' | b'd' => {
                let items = self.pop_to_mark()?;
                self.push_compound(items);
            }
            b'a' => {
                let item = self.pop()?;
                self.extend(vec![item])?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.extend(vec![key, value])?;
            }
            b'e' | b'u' => {
                let items = self.pop_to_mark()?;
                self.extend(items)?;
            }
            b'q' => {
                let index = byte()?;
                self.memoize(index as u32)?;
            }
            b'r' => {
                let index = u32::from_le_bytes(take(input, 4)?.try_into()?);
                self.memoize(index)?;
            }
            0x94 => self.memoize(self.memo.len() as u32)?,
            b'h' => {
                let index = byte()?;
                self.recall(index as u32)?;
            }
            b'j' => {
                let index = u32::from_le_bytes(take(input, 4)?.try_into()?);
                self.recall(index)?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(&id)?;
                self.stack.push(Value::Storage(storage));
            }
            b'R' | 0x81 => {
                let arguments = self.pop()?;
                let function = self.pop()?;
                let value = self.call(&function, &arguments)?;
                self.stack.push(value);
            }
            // The state of an object, such as the metadata of an OrderedDict.
            b'b' => drop(self.pop()?),
            other => bail!("it holds more than tensors and names (pickle instruction 0x{other:02x})"),
        }
        Ok(true)
    }

    fn pop(&mut self) -> Result<Value> {
        self.stack.pop().context(BROKEN)
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.stack.iter().rposition(|value| matches!(value, Value::Mark)).context(BROKEN)?;
        let items = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(items)
    }

    fn push_text(&mut self, bytes: &[u8]) {
        self.stack.push(Value::Text(String::from_utf8_lossy(bytes).into()));
    }

    fn push_compound(&mut self, items: Vec<Value>) {
        self.stack.push(Value::Compound(self.compounds.len()));
        self.compounds.push(items);
    }

    /// Adds to the list or dict on top of the stack.
    fn extend(&mut self, items: Vec<Value>) -> Result<()> {
        match self.stack.last().context(BROKEN)? {
            Value::Compound(index) => self.compounds[*index].extend(items),
            Value::Other => {}
            _ => bail!(BROKEN),
        }
        Ok(())
    }

    fn memoize(&mut self, index: u32) -> Result<()> {
        let value = self.stack.last().context(BROKEN)?.clone();
        self.memo.insert(index, value);
        Ok(())
    }

    fn recall(&mut self, index: u32) -> Result<()> {
        self.stack.push(self.memo.get(&index).context(BROKEN)?.clone());
        Ok(())
    }

    fn items(&self, value: &Value) -> &[Value] {
        match value {
            Value::Compound(index) => &self.compounds[*index],
            _ => &[],
        }
    }

    /// A persistent id: ("storage", type, key, device, number of elements, …).
    fn storage(&mut self, id: &Value) -> Result<Rc<Storage>> {
        let [Value::Text(tag), Value::Global(kind), Value::Text(key), _, Value::Int(length), ..] =
            self.items(id)
        else {
            bail!(BROKEN)
        };
        ensure!(&**tag == "storage", BROKEN);
        let kind = match &**kind {
            "torch FloatStorage" => Kind::Float,
            "torch DoubleStorage" => Kind::Double,
            "torch HalfStorage" => Kind::Half,
            "torch BFloat16Storage" => Kind::BFloat16,
            "torch LongStorage" => Kind::Int64,
            "torch IntStorage" => Kind::Int,
            "torch ShortStorage" => Kind::Int16,
            "torch CharStorage" => Kind::Int8,
            "torch ByteStorage" => Kind::Uint8,
            "torch BoolStorage" => Kind::Bool,
            other => bail!("tensors of type '{other}' are not supported"),
        };
        let (key, length) = (key.clone(), u64::try_from(*length).context(BROKEN)?);
        let storage = Rc::new(Storage { key: key.clone(), kind, length });
        self.storages.insert(key, storage.clone());
        Ok(storage)
    }

    fn call(&mut self, function: &Value, arguments: &Value) -> Result<Value> {
        let Value::Global(name) = function else { return Ok(Value::Other) };
        match &**name {
            "collections OrderedDict" => {
                self.push_compound(Vec::new());
                self.pop()
            }
            "torch._utils _rebuild_tensor_v2" | "torch._utils _rebuild_tensor" => {
                let [Value::Storage(storage), Value::Int(offset), shape, strides, ..] = self.items(arguments)
                else {
                    bail!(BROKEN)
                };
                let numbers = |value: &Value| -> Result<Vec<i64>> {
                    let number = |item: &Value| match item {
                        Value::Int(number) => Ok(*number),
                        _ => bail!(BROKEN),
                    };
                    self.items(value).iter().map(number).collect()
                };
                let (shape, strides) = (numbers(shape)?, numbers(strides)?);
                Ok(Value::Tensor(Rc::new(View { storage: storage.clone(), offset: *offset, shape, strides })))
            }
            "torch._utils _rebuild_parameter" => {
                Ok(self.items(arguments).first().cloned().unwrap_or(Value::Other))
            }
            _ => Ok(Value::Other),
        }
    }

    /// The tensors of the state dict that `root` is or has in it.
    fn state_dict(
        &self,
        root: Value,
        mut storage: impl FnMut(&Storage) -> Result<Tensor>,
    ) -> Result<BTreeMap<String, Tensor>> {
        let pairs = |value: &Value| -> Vec<(Rc<str>, Value)> {
            let pair = |pair: &[Value]| match pair {
                [Value::Text(key), value] => Some((key.clone(), value.clone())),
                _ => None,
            };
            self.items(value).chunks_exact(2).filter_map(pair).collect()
        };
        let mut dict = pairs(&root);
        let inner = dict
            .iter()
            .find(|(key, value)| STATE_DICT_KEYS.contains(&&**key) && matches!(value, Value::Compound(_)));
        if let Some((_, inner)) = inner {
            dict = pairs(inner);
        }
        let mut tensors = BTreeMap::new();
        for (name, value) in dict {
            if let Value::Tensor(view) = value {
                let whole = storage(&view.storage)?;
                let tensor = view.tensor(&whole).with_context(|| format!("'{name}' is damaged"))?;
                tensors.insert(name.to_string(), tensor);
            }
        }
        ensure!(
            !tensors.is_empty(),
            "there is no state dict in it: save one with torch.save(network.state_dict(), PATH)"
        );
        Ok(tensors)
    }
}

const BROKEN: &str = "its pickle is damaged";

/// The text up to the next line feed.
fn line(input: &mut &[u8]) -> Result<String> {
    let length = input.iter().position(|&byte| byte == b'\n').context("it is truncated")?;
    let text = String::from_utf8_lossy(take(input, length)?).into_owned();
    take(input, 1)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A storage: its key, its bytes, how many numbers they are.
    type Stored = (&'static str, Vec<u8>, u64);

    /// `{"epoch": 3, "net": OrderedDict(a = 2×2 floats, transposed; b = one long)}` as torch pickles
    /// it: the pickle, and the storages "7" and "8".
    fn sample() -> (Vec<u8>, [Stored; 2]) {
        fn text(out: &mut Vec<u8>, text: &str) {
            out.push(b'X');
            out.extend((text.len() as u32).to_le_bytes());
            out.extend(text.as_bytes());
        }
        let mut out = vec![0x80, 2, b'}', b'q', 0, b'('];
        text(&mut out, "epoch");
        out.extend([b'K', 3]);
        text(&mut out, "net");
        out.extend(b"ccollections\nOrderedDict\n)R(");
        let tensors = [
            ("a", "FloatStorage", "7", 4, &[b'K', 2, b'K', 2, 0x86, b'K', 1, b'K', 2, 0x86][..]),
            ("b", "LongStorage", "8", 1, b"))"),
        ];
        for (name, kind, key, length, shape_and_strides) in tensors {
            text(&mut out, name);
            out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
            text(&mut out, "storage");
            out.extend(format!("ctorch\n{kind}\n").as_bytes());
            text(&mut out, key);
            text(&mut out, "cpu");
            out.extend([b'K', length, b'N', b't', b'Q', b'K', 0]);
            out.extend(shape_and_strides);
            out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        }
        out.extend(b"u}bu."); // the items, an empty state, the outer items
        let floats = [1.0f32, 2.0, 3.0, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        (out, [("7", floats, 4), ("8", (-5i64).to_le_bytes().to_vec(), 1)])
    }

    fn older_format() -> Vec<u8> {
        let (pickle, storages) = sample();
        let mut bytes = vec![0x80, 2, 0x8a, 10];
        bytes.extend(MAGIC_NUMBER);
        bytes.extend(b".\x80\x02M\xe9\x03.\x80\x02}.");
        bytes.extend(pickle);
        bytes.extend(b"\x80\x02](X\x01\0\0\x007X\x01\0\0\x008e.");
        for (_, data, length) in storages {
            bytes.extend(length.to_le_bytes());
            bytes.extend(data);
        }
        bytes
    }

    fn zip_format() -> Vec<u8> {
        let (pickle, storages) = sample();
        let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let options = zip::write::FileOptions::default().compression_method(zip::CompressionMethod::Stored);
        archive.start_file("checkpoint/data.pkl", options).unwrap();
        archive.write_all(&pickle).unwrap();
        for (key, data, _) in storages {
            archive.start_file(format!("checkpoint/data/{key}"), options).unwrap();
            archive.write_all(&data).unwrap();
        }
        archive.finish().unwrap().into_inner()
    }

    #[test]
    fn both_formats_give_the_tensors() {
        for bytes in [older_format(), zip_format()] {
            let tensors = tensors(&bytes).unwrap();
            assert_eq!(tensors.keys().collect::<Vec<_>>(), ["a", "b"]);
            assert_eq!(tensors["a"], Tensor::from_slice2(&[[1.0f32, 3.0], [2.0, 4.0]]));
            assert_eq!(tensors["b"].int64_value(&[]), -5);
        }
    }

    #[test]
    fn cut_or_changed_anywhere_is_an_error_or_the_same_shapes_and_no_panic() {
        for bytes in [older_format(), zip_format()] {
            for length in 0..bytes.len() {
                assert!(tensors(&bytes[..length]).is_err(), "cut at {length}");
            }
            for at in 0..bytes.len() {
                let mut changed = bytes.clone();
                changed[at] ^= 0x15;
                let _ = tensors(&changed);
            }
        }
    }

    #[test]
    fn other_files_have_a_clear_error() {
        let message = tensors(b"no checkpoint at all").unwrap_err().to_string();
        assert!(message.contains("magic number"), "{message}");
    }

    #[test]
    fn the_published_checkpoint_is_that_of_its_safetensors() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cac-official");
        if !folder.exists() {
            eprintln!("skipped: the authors' checkpoints are not in {}", folder.display());
            return;
        }
        for name in ["MNIST", "CIFAR10"] {
            let ours = read_torch_file(&folder.join(format!("{name}-trial0.pth"))).unwrap();
            let theirs =
                crate::variables::read_safetensors(&folder.join(format!("{name}-trial0.safetensors")))
                    .unwrap();
            assert_eq!(ours.keys().collect::<Vec<_>>(), theirs.keys().collect::<Vec<_>>());
            for (name, tensor) in ours {
                assert_eq!(tensor, theirs[&name], "{name}");
            }
        }
    }
}
