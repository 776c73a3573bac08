//! How hot the processor is, and whether it was slowed down: read from the kernel's files (sysfs). What is
//! done about it is decided in `pace.rs`.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a Raspberry Pi's firmware says whether it has slowed the processor down: `vcgencmd get_throttled`.
const PI_THROTTLED: &str = "devices/platform/soc/soc:firmware/get_throttled";
/// What the zones of processors are called: a Raspberry Pi's, Jetson's, PC's and others'.
const PROCESSORS: [&str; 5] = ["cpu", "soc", "x86_pkg_temp", "package", "tj"];

/// Why a board is slower than it could be, or will soon be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slowed {
    /// The supply's voltage is too low.
    UnderVoltage,
    /// The processor's clock is capped.
    Capped,
    /// The processor is throttled.
    Throttled,
    /// It is at the soft limit of its temperature.
    SoftLimit,
    /// A sensor reports an alarm for its temperature.
    Alarm,
}

impl fmt::Display for Slowed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::UnderVoltage => "the voltage is too low (a stronger supply, a shorter cable)",
            Self::Capped => "the processor's clock is capped",
            Self::Throttled => "the processor is throttled",
            Self::SoftLimit => "the processor is at its soft limit of temperature",
            Self::Alarm => "a temperature sensor reports an alarm",
        })
    }
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heat {
    /// The hottest of the processor's sensors, in °C; of all sensors, if none is said to be the
    /// processor's; `None` where there is none.
    pub celsius: Option<f64>,
    /// What slows it down now.
    pub now: Vec<Slowed>,
    /// What did since the system started, as far as the board remembers.
    pub earlier: Vec<Slowed>,
}

impl Heat {
    /// Reads it. `sys` is where sysfs is mounted: `/sys`. What is not there or cannot be read is left out.
    pub fn read(sys: &Path) -> Self {
        let (mut now, earlier) = firmware(sys);
        for alarm in alarms(sys) {
            if !now.contains(&alarm) {
                now.push(alarm);
            }
        }
        Self { celsius: celsius(sys), now, earlier }
    }

    /// Whether the processor is too hot by the board's own measure.
    pub fn is_too_hot(&self) -> bool {
        self.now.iter().any(|slowed| *slowed != Slowed::UnderVoltage)
    }
}

fn text(path: &Path) -> Option<String> {
    Some(std::fs::read_to_string(path).ok()?.trim().to_string())
}

/// The entries of a folder whose names begin so.
fn entries(folder: &Path, beginning: &str) -> Vec<PathBuf> {
    let found = std::fs::read_dir(folder).into_iter().flatten().flatten();
    found
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(beginning))
        .map(|entry| entry.path())
        .collect()
}

fn celsius(sys: &Path) -> Option<f64> {
    let mut zones = Vec::new();
    for zone in entries(&sys.join("class/thermal"), "thermal_zone") {
        let kind = text(&zone.join("type")).unwrap_or_default().to_lowercase();
        let degrees = text(&zone.join("temp")).and_then(|text| text.parse::<f64>().ok());
        // Zones that are switched off, as a Jetson's may be, give an error or an absurd number.
        if let Some(degrees) = degrees.map(|thousandths| thousandths / 1000.0)
            && (-60.0..=200.0).contains(&degrees)
        {
            zones.push((PROCESSORS.iter().any(|name| kind.contains(name)), degrees));
        }
    }
    let of_processor = zones.iter().any(|(processor, _)| *processor);
    let counted = zones.into_iter().filter(|(processor, _)| *processor == of_processor);
    counted.map(|(_, degrees)| degrees).max_by(f64::total_cmp)
}

/// A Raspberry Pi's bits: now, and since it started.
fn firmware(sys: &Path) -> (Vec<Slowed>, Vec<Slowed>) {
    const BITS: [Slowed; 4] = [Slowed::UnderVoltage, Slowed::Capped, Slowed::Throttled, Slowed::SoftLimit];
    let bits = text(&sys.join(PI_THROTTLED))
        .and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok())
        .unwrap_or(0);
    let set = |first: usize| {
        let numbered = BITS.iter().enumerate();
        numbered.filter(|(bit, _)| bits >> (first + bit) & 1 == 1).map(|(_, slowed)| *slowed).collect()
    };
    (set(0), set(16))
}

/// The alarms of sensor chips; a Raspberry Pi's voltage is one of them.
fn alarms(sys: &Path) -> Vec<Slowed> {
    let mut alarms = Vec::new();
    for chip in entries(&sys.join("class/hwmon"), "hwmon") {
        let is_set = |path: &PathBuf| text(path).is_some_and(|text| text == "1");
        if text(&chip.join("name")).is_some_and(|name| name == "rpi_volt")
            && is_set(&chip.join("in0_lcrit_alarm"))
        {
            alarms.push(Slowed::UnderVoltage);
        }
        let hot = |path: &PathBuf| {
            let name = path.to_string_lossy();
            name.ends_with("_crit_alarm") || name.ends_with("_max_alarm")
        };
        if entries(&chip, "temp").iter().any(|path| hot(path) && is_set(path)) {
            alarms.push(Slowed::Alarm);
        }
    }
    alarms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(sys: &Path, path: &str, text: &str) {
        let path = sys.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn a_raspberry_pi_that_is_hot_and_badly_fed() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        write(sys, "class/thermal/thermal_zone0/type", "cpu-thermal\n");
        write(sys, "class/thermal/thermal_zone0/temp", "82312\n");
        write(sys, PI_THROTTLED, "d0008\n");
        write(sys, "class/hwmon/hwmon1/name", "rpi_volt\n");
        write(sys, "class/hwmon/hwmon1/in0_lcrit_alarm", "1\n");
        let heat = Heat::read(sys);
        assert_eq!(heat.celsius, Some(82.312));
        assert_eq!(heat.now, [Slowed::SoftLimit, Slowed::UnderVoltage]);
        assert_eq!(heat.earlier, [Slowed::UnderVoltage, Slowed::Throttled, Slowed::SoftLimit]);
        assert!(heat.is_too_hot());
    }

    #[test]
    fn a_jetson_s_zones_and_those_that_are_off() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        for (number, kind, degrees) in [
            (0, "CPU-therm", "41500"),
            (1, "GPU-therm", "60000"),
            (2, "CPU-therm", "-256000"),
            (3, "tj-thermal", "43000"),
        ] {
            write(sys, &format!("class/thermal/thermal_zone{number}/type"), kind);
            write(sys, &format!("class/thermal/thermal_zone{number}/temp"), degrees);
        }
        let heat = Heat::read(sys);
        assert_eq!((heat.celsius, heat.is_too_hot()), (Some(43.0), false));
    }

    #[test]
    fn sensors_of_something_else_count_where_there_are_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let sys = folder.path();
        assert_eq!(Heat::read(sys), Heat::default());
        write(sys, "class/thermal/thermal_zone0/type", "acpitz");
        write(sys, "class/thermal/thermal_zone0/temp", "27800");
        write(sys, "class/hwmon/hwmon0/temp1_crit_alarm", "1");
        let heat = Heat::read(sys);
        assert_eq!((heat.celsius, heat.now), (Some(27.8), vec![Slowed::Alarm]));
    }

    #[test]
    fn nonsense_is_no_reading() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "class/thermal/thermal_zone0/temp", "hot");
        write(folder.path(), PI_THROTTLED, "throttled=?");
        assert_eq!(Heat::read(folder.path()), Heat::default());
    }
}
