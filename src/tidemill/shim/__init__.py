"""What `tidemill run` puts into the processes of a script; standard library only, and nothing of tidemill."""
