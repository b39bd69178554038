"""From a command line or a study to the runs that it asks for, checked before anything is trained."""
