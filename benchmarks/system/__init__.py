"""What everything else stands on: errors, files, random streams, settings, device, compiler."""
