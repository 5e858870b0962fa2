"""Operating the service: doctor, stop, messages, GetService and Shutdown."""
