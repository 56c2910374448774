"""The prediction log on disk: frames in spools as answers leave, Parquet when somebody had the time to seal them.

    log/
      spool/ULID-PID.spool              as it was written; locked while a writer appends to it
      predictions/FIRST-LAST-ULID-PID.parquet   a sealed spool's predictions, with the times of its first and last row
      feedback/FIRST-LAST-ULID-PID.parquet      and its feedback
      torn/ULID-PID                     what stood behind the last whole frame of a spool, kept for whoever asks

Written: `frames` is the spool's byte format, `batches` and `records` what a frame says, `spool` one file, `calm`
whether its disk takes a write at once, `writer` the life of a writer's files. Sealed: `columns` the Parquet
schemas, `seal` what makes Parquet of a spool, `sweep` who does so and when. Read: `segments` the sealed files by
name, `tails` and `heads` spools, `read` all of it as tables, `lookup` single rows, `find` what a server is asked
for, `damage` what to say of a broken file.
"""
