"""The prediction log on disk: frames in a spool while a writer lives, sealed Parquet afterwards.

    log/
      spool/ULID-PID.spool              one a running writer; locked while it lives
      predictions/FIRST-LAST-ULID-PID.parquet   a sealed spool's predictions, with the times of its first and last row
      feedback/FIRST-LAST-ULID-PID.parquet      and its feedback
      torn/ULID-PID                     what stood behind the last whole frame of a spool, kept for whoever asks

`frames` is the spool's byte format, `records` what a frame says, `columns` the Parquet schemas, `spool` one file,
`writer` the life of a writer's files, `seal` what makes Parquet of them, `read` everything that looks.
"""
