//! Settings of the management log (API §8.1, §8.2; stock: `management/persistence.zeek`).

use std::path::PathBuf;
use std::time::Duration;

use super::resolve::{SettingError, Sources};
use crate::log::{Format, Level, LogSettings};

const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn log(sources: &Sources) -> Result<LogSettings, SettingError> {
    let expected = "a level such as Management::Log::INFO";
    let level = sources.read("Management::Log::level", None, expected, Level::from_name)?;
    let rotation = sources.interval("Log::default_rotation_interval")?;
    let rotation = match rotation {
        Some(interval) => interval,
        None if sources.is_testing() => Duration::ZERO,
        None => HOUR,
    };
    let is_json = sources.flag("LogAscii::use_json")?.unwrap_or(false);
    Ok(LogSettings {
        level: level.unwrap_or_default(),
        rotation: Some(rotation).filter(|interval| !interval.is_zero()),
        rotation_dir: rotation_dir(sources)?,
        format: if is_json { Format::Json } else { Format::Ascii },
    })
}

/// Where the archiver looks, unless testing keeps everything in place.
fn rotation_dir(sources: &Sources) -> Result<PathBuf, SettingError> {
    if let Some(dir) = sources.text("Log::default_rotation_dir", None)? {
        return Ok(dir.into());
    }
    let spool = sources.text("Management::spool_dir", Some("ZEEK_MANAGEMENT_SPOOL_DIR"))?;
    if sources.is_testing() {
        return Ok(PathBuf::new());
    }
    let spool = spool.map_or_else(|| sources.prefix.join("spool"), PathBuf::from);
    Ok(spool.join("log-queue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(
        assignments: &[(&str, &str)],
        env: &[(&str, &str)],
    ) -> Result<LogSettings, SettingError> {
        let owned = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            pairs
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect()
        };
        log(&Sources {
            assignments: owned(assignments),
            env: owned(env),
            hostname: "sensor".into(),
            prefix: "/opt/zeek".into(),
        })
    }

    #[test]
    fn logs_are_rotated_into_the_spool_every_hour() {
        let settings = resolved(&[], &[]).unwrap();
        assert_eq!(settings.level, Level::Info);
        assert_eq!(settings.rotation, Some(HOUR));
        assert_eq!(
            settings.rotation_dir,
            PathBuf::from("/opt/zeek/spool/log-queue")
        );
        assert_eq!(settings.format, Format::Ascii);
        let spool = [("ZEEK_MANAGEMENT_SPOOL_DIR", "/var/spool/zeek")];
        let settings = resolved(&[], &spool).unwrap();
        assert_eq!(
            settings.rotation_dir,
            PathBuf::from("/var/spool/zeek/log-queue")
        );
    }

    #[test]
    fn testing_leaves_logs_where_they_are() {
        let settings = resolved(&[], &[("ZEEK_MANAGEMENT_TESTING", "1")]).unwrap();
        assert_eq!(settings.rotation, None);
        assert_eq!(settings.rotation_dir, PathBuf::new());
    }

    #[test]
    fn options_win() {
        let options = [
            ("Management::Log::level", "Management::Log::WARNING"),
            ("Log::default_rotation_interval", "10 min"),
            ("Log::default_rotation_dir", "\"/queue\""),
            ("LogAscii::use_json", "T"),
        ];
        let settings = resolved(&options, &[("ZEEK_MANAGEMENT_TESTING", "1")]).unwrap();
        let expected = LogSettings {
            level: Level::Warning,
            rotation: Some(Duration::from_secs(600)),
            rotation_dir: "/queue".into(),
            format: Format::Json,
        };
        assert_eq!(settings, expected);
        let off = [("Log::default_rotation_interval", "0 secs")];
        assert_eq!(resolved(&off, &[]).unwrap().rotation, None);
        let error = resolved(&[("Management::Log::level", "LOUD")], &[]).unwrap_err();
        assert_eq!(error.name, "Management::Log::level");
    }
}
