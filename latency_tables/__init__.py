"""What a layer costs on a device: measured tables and how they are measured."""
