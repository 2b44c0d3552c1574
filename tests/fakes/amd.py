"""A sysfs tree with AMD cards, as Linux shows them. The values are of a Vega 56's kind."""

from collections.abc import Mapping
from pathlib import Path

VEGA: Mapping[str, str] = {
    "device": "0x687f",
    "unique_id": "0123456789abcdef",
    "product_name": "",
    "uevent": "DRIVER=amdgpu\nPCI_CLASS=30000\nPCI_SLOT_NAME=0000:09:00.0",
    "gpu_busy_percent": "4",
    "mem_busy_percent": "1",
    "mem_info_vram_total": "8573157376",
    "mem_info_vram_used": "1490378752",
    "mem_info_gtt_total": "8573157376",
    "mem_info_gtt_used": "144560128",
    "pcie_replay_count": "0",
    "current_link_speed": "8.0 GT/s PCIe",
    "max_link_speed": "16.0 GT/s PCIe",
    "current_link_width": "8",
    "max_link_width": "16",
    "pp_dpm_sclk": "0: 852Mhz *\n1: 991Mhz \n2: 1630Mhz ",
    "pp_dpm_mclk": "0: 167Mhz \n1: 945Mhz *",
    "hwmon/hwmon3/temp1_input": "54000",
    "hwmon/hwmon3/temp1_label": "edge",
    "hwmon/hwmon3/temp1_crit": "85000",
    "hwmon/hwmon3/temp2_input": "61000",
    "hwmon/hwmon3/temp2_label": "junction",
    "hwmon/hwmon3/temp3_input": "70000",
    "hwmon/hwmon3/temp3_label": "mem",
    "hwmon/hwmon3/power1_average": "22000000",
    "hwmon/hwmon3/power1_cap": "180000000",
    "hwmon/hwmon3/pwm1": "51",
    "hwmon/hwmon3/pwm1_max": "255",
    "hwmon/hwmon3/freq1_input": "991000000",
    "ras/umc_err_count": "ue: 0\nce: 5",
}
IN_THE_PROCESSOR: Mapping[str, str] = {
    "device": "0x1681",
    "gpu_busy_percent": "50",
    "mem_info_vram_total": "536870912",
    "mem_info_vram_used": "400000000",
    "mem_info_gtt_total": "33554432000",
    "mem_info_gtt_used": "8000000000",
}


def add_card(sysfs: Path, number: int, facts: Mapping[str, str], driver: str = "amdgpu") -> Path:
    """The card's device folder; the link to its driver leads nowhere, which is enough."""
    device = sysfs / "class" / "drm" / f"card{number}" / "device"
    for name, text in facts.items():
        file = device / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", "ascii")
    (device / "driver").symlink_to(f"../../../../bus/pci/drivers/{driver}")
    return device
