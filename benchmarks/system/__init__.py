"""Infrastructure: errors, files, random streams, settings, device, compiler."""
