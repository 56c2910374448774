"""The prediction log on disk: frames in a spool while a writer lives, sealed Parquet afterwards."""
